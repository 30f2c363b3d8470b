"""The figure: its panels, lines and places."""

import math
from itertools import product

import pytest
from support.report_rows import floor, full, row

from sgmkit.report.figures import draw
from sgmkit.report.summary import aggregate


def test_figure_has_a_panel_for_each_error_and_a_line_for_each_solver():
    cost = [row("euler", n, metric="calls", nfe=n) for n in (20.0, 100.0)]
    good = [row("euler", 0.5, metric="score", better="higher")]
    figure = draw(aggregate([*full(), *cost, *good]))
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["blobs · exact · cld", "blobs · exact · vp"]
    for panel in panels:
        assert panel.get_ylabel() == "energy [nats]"
        assert "NFE" in panel.get_xlabel()
        assert panel.get_xscale() == panel.get_yscale() == "log"
        labels = panel.get_legend_handles_labels()[1]
        assert sorted(labels) == ["euler", "floor", "heun", "rk45"]
        (rk45,) = (c for c in panel.containers if c.get_label() == "rk45")
        assert list(rk45.lines[0].get_xdata()) == [62.0]  # at its measured mean
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["euler", "heun", "rk45", "floor"]


def test_figure_begins_a_row_with_each_data_set_and_keeps_titles_in_their_panels():
    both = [row("euler", 0.5, metric=metric) for metric in ("energy", "trajectory")]
    long = "sgm:network=unet:prediction=v:weighting=likelihood:sampling=uniform"
    learned = [
        row("euler", 0.5, data="digits", run=f"run{i}", model=long, metric="fid") for i in range(4)
    ]
    figure = draw(aggregate([*both, *learned]))
    panels = [panel for panel in figure.axes if panel.get_visible()]
    places = {}
    for panel in panels:
        place = panel.get_subplotspec()
        spot = (place.rowspan.start, place.colspan.start)
        places.setdefault(panel.get_ylabel().split()[0], []).append(spot)
    assert places == {
        "energy": [(0, 0)],
        "trajectory": [(0, 1)],
        "fid": [*product([1], range(3)), (2, 0)],
    }
    figure.canvas.draw()
    for panel in panels:
        title = panel.title.get_window_extent()
        assert title.width < 1.15 * panel.get_window_extent().width


def test_figure_of_rows_that_state_no_data_set():
    figure = draw(aggregate([row("euler", 0.5, data=""), row("euler", 0.4)]))
    assert len([panel for panel in figure.axes if panel.get_visible()]) >= 1


def test_figure_of_values_at_or_below_zero():
    rows = [row("euler", -0.001, half=0.02), row("euler", 0.3, nfe=20), floor(-0.001)]
    (panel,) = draw(aggregate(rows)).axes
    (curve,) = panel.containers
    assert list(curve.lines[0].get_ydata()) == [0.3, pytest.approx(math.nan, nan_ok=True)]
    arrows = [line for line in panel.lines if line.get_marker() == 7]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in arrows if len(line.get_xdata())] == [
        (50.0, pytest.approx(0.019))
    ]
    assert panel.get_ylim()[0] > 0
