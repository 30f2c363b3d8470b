"""The figure: its axes, legend and limits."""

from sgmkit.convergence import Curve, Point, draw


def points(errors, **more):
    return [Point(n, n, n, error, **more) for n, error in zip((8, 16, 32, 64), errors, strict=True)]


def curve_of(points, **more):
    return Curve("a", "b", "weak", 2, 1, more.pop("adaptive", False), points=points, **more)


def test_the_figure_says_what_it_shows():
    weak = curve_of(points([0.4, 0.2, 0.1, 0.05], leave_one_out=(0.4, 0.5), floor=0.01))
    strong = Curve("c", "d", "strong", 1, 1, False, points=points([4.0, 2.0, 1.0, 0.0]))
    gone = Curve("e", "d", "strong", 3, 1, False, status="n/a", reason="not here")
    drawn = draw([weak, strong, gone])
    first, second = drawn.axes
    assert first.get_ylabel().splitlines() == [
        *("error", "strong (solid): rms distance [data units]"),
        "weak (dashed): rms error of expectations",
    ]
    assert {panel.get_xlabel() for panel in drawn.axes} == {"network evaluations per sample (NFE)"}
    assert first.get_title().startswith("b · log-SNR")
    assert second.get_title().startswith("d · log-SNR")
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "a (weak, order 2)",
        "c (strong, order 1)",
        "floor: chance alone (dotted)",
        "slopes of the declared orders",
    ]
    low, high = first.get_ylim()
    assert low < 0.01 < 4 < high
    assert draw([gone]) is None
    burst = curve_of(points([1e6, 0.2, 0.1, 0.05]))
    assert draw([burst]).axes[0].get_ylim()[1] == 20
