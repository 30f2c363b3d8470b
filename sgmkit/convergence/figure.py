"""The figure: error against network evaluations, a panel for each SDE."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sgmkit._util.plotting import figure_class
from sgmkit.convergence.curve import Curve, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008: distinct with any colour vision."""
MARKERS = "os^DvP*X"
ACROSS = 3
"""Panels side by side."""
GREY = "#777777"
TOP = 20.0
"""Errors above this have exploded: their curves enter at the top of the panel."""
_STRONG = "strong (solid): rms distance [data units]"
_WEAK = "weak (dashed): rms error of expectations"
_FLOOR, _SLOPES = "floor: chance alone (dotted)", "slopes of the declared orders"


def draw(curves: Sequence[Curve]) -> "Figure | None":
    """Error against network evaluations, both logarithmic; None where no curve has a point.

    Intervals are 95 %. The floor of chance is dotted in the colour of its curve. Grey guide lines
    have the slopes of the declared orders.
    """
    curves = [curve for curve in curves if _shown(curve.points)]
    if not curves:
        return None
    sdes, names = (list(dict.fromkeys(getattr(c, n) for c in curves)) for n in ("sde", "solver"))
    across, down = min(len(sdes), ACROSS), math.ceil(len(sdes) / ACROSS)
    size = (max(4.4 * across, 6.6), 3.8 * down + 0.3 * math.ceil(len(names) / 2) + 0.6)
    picture = figure_class()(figsize=size, layout="constrained")
    panels = picture.subplots(down, across, squeeze=False, sharex=True, sharey=True).flatten()
    handles: dict[str, Any] = {}
    for panel, sde in zip(panels, sdes, strict=False):
        for curve in (c for c in curves if c.sde == sde):
            place = names.index(curve.solver)
            _curve(panel, curve, place, handles)
        _axes(panel, curves, f"{sde} · log-SNR {_span(curves, sde)}")
    for panel in panels[len(sdes) :]:
        panel.set_visible(False)
    for n, panel in enumerate(panels[: len(sdes)]):
        below = n + across < len(sdes)
        panel.tick_params(labelbottom=not below)
        panel.set_xlabel("" if below else "network evaluations per sample (NFE)")
    _guides(panels[0], curves, handles)
    handles |= {label: handles.pop(label) for label in (_FLOOR, _SLOPES) if label in handles}
    columns = 2 if across < ACROSS else 3
    place = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 9}
    picture.legend(list(handles.values()), list(handles), **place)
    return picture


def _shown(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if math.isfinite(point.error) and point.error > 0]


def _span(curves: Sequence[Curve], sde: str) -> str:
    low, high = next(curve.log_snr for curve in curves if curve.sde == sde)
    return f"{low:.3g} to {high:.3g}"


def _curve(panel: "Axes", curve: Curve, place: int, handles: dict[str, Any]) -> None:
    points, weak = _shown(curve.points), curve.kind == "weak"
    nfe, error = [point.nfe for point in points], [point.error for point in points]
    halves = [0.0 if math.isnan(point.half) else point.half for point in points]
    low = [min(half, 0.95 * each) for half, each in zip(halves, error, strict=True)]
    look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "linewidth": 1.4}
    look |= {"marker": MARKERS[place % len(MARKERS)], "markersize": 5, "capsize": 2.5}
    look |= {"linestyle": "--", "markerfacecolor": "white"} if weak else {}
    kind = f"{curve.kind}, Gaussian data" if curve.method == "Gaussian" else curve.kind
    label = f"{curve.solver} ({kind}, order {curve.order})"
    bars = [low, halves] if any(halves) else None
    handle = panel.errorbar(nfe, error, yerr=bars, **look)
    handles.setdefault(label, handle)
    floors = [point.floor for point in points]
    if any(math.isfinite(floor) for floor in floors):
        (line,) = panel.plot(nfe, floors, color=look["color"], linewidth=1.0, linestyle=":")
        handles.setdefault(_FLOOR, line)


def _axes(panel: "Axes", curves: Sequence[Curve], title: str) -> None:
    """Limits from the points of all curves; ticks at the network evaluations themselves."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    points = [point for curve in curves for point in _shown(curve.points)]
    nfe, errors = [point.nfe for point in points], [point.error for point in points]
    floors = [point.floor for point in points if point.floor > 0]
    panel.set(xscale="log", yscale="log", title=title)
    panel.set_xlim(min(nfe) / 1.25, max(nfe) * 1.25)
    low, high = min(errors + floors) / 1.8, max(errors) * 1.8
    panel.set_ylim(low, max(min(high, TOP), 100 * low))
    powers = [2**n for n in range(21) if min(nfe) / 1.25 <= 2**n <= max(nfe) * 1.25]
    ticks = powers if 1 < len(powers) < 9 else sorted({round(n) for n in nfe})[:8]
    panel.set_xticks(ticks, [f"{n:g}" for n in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(numticks=9))
    panel.yaxis.set_minor_formatter(NullFormatter())
    kinds = {curve.kind for curve in curves}
    labels = [text for kind, text in (("strong", _STRONG), ("weak", _WEAK)) if kind in kinds]
    panel.set_ylabel("\n".join(["error", *labels]), fontsize=9)
    panel.label_outer()
    panel.grid(color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _guides(panel: "Axes", curves: Sequence[Curve], handles: dict[str, Any]) -> None:
    """Lines with the slopes of the declared orders, in the right upper corner of each panel."""
    orders = sorted({curve.order for curve in curves if not curve.adaptive})
    if not orders:
        return
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    start, top = math.sqrt(left * right), high / 1.5
    end = right / 1.15
    for each in panel.figure.axes:
        for order in orders:
            bottom = top * (end / start) ** -order
            (line,) = each.plot([start, end], [top, bottom], color=GREY, linewidth=1, zorder=0)
            if bottom > low:
                text = {"color": GREY, "fontsize": 8, "va": "center"}
                each.annotate(f"{order}", (end * 1.03, bottom), **text)
            handles.setdefault(_SLOPES, line)
        each.set(xlim=(left, right), ylim=(low, high))
