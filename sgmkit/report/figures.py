"""The figure of a report: error against measured NFE. It leaves matplotlib's global state alone."""

import io
import math
import textwrap
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from sgmkit._util.plotting import figure_class
from sgmkit.report.grouping import (
    PROTOCOL,
    SUBJECT,
    agreed,
    group_entries,
    is_cost,
    solver_label,
)
from sgmkit.report.numbers import short
from sgmkit.report.summary import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito 2008: distinct with any colour vision; grey stays for the floor.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_GREY = "#555555"
ACROSS, TITLE = 3, 48
"""Panels side by side, where metrics do not decide it; letters in a line of a title."""
_BELOW = "upper end of an interval around a value ≤ 0"


def draw(entries: Sequence[Entry]) -> "Figure | None":
    """Panels of error against measured NFE, both logarithmic; None if there is no error to show.

    There is one panel for each table whose metric is better when lower and is no cost, and one
    line for each solver, with its intervals. The floor is dashed, its interval a band. A value at
    or below zero, which a logarithmic axis cannot show, is an arrow that hangs from the upper end
    of its interval.
    """
    groups = [
        group
        for group in group_entries(e for e in entries if e.scope != "model")
        if group[0].better == "lower" and not is_cost(group) and _points(group)
    ]
    if not groups:
        return None
    labels = sorted({solver_label(entry) for group in groups for entry in _points(group)})
    styles = {
        label: {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        for i, label in enumerate(labels)
    }
    places = _places(groups)
    down, across = (1 + max(place) for place in zip(*places, strict=True))
    figure = figure_class()(figsize=(4.6 * across, 3.6 * down + 0.7), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    panels = [grid[place] for place in places]
    for panel, group in zip(panels, groups, strict=True):
        _panel(panel, group, styles, groups)
    for place in set(product(range(down), range(across))) - set(places):
        grid[place].set_visible(False)
    handles = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = sorted(handles, key=lambda label: (label in ("floor", _BELOW), label))
    shown = [handles[name] for name in names]
    figure.legend(shown, names, loc="outside lower center", ncols=min(len(names), 6), frameon=False)
    return figure


def to_bytes(figure: "Figure", format: str) -> bytes:
    """A figure as ``png``, ``svg`` or ``pdf``: the same bytes for the same numbers."""
    from matplotlib import rc_context

    out = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)
    with rc_context({"svg.hashsalt": "sgmkit", "svg.fonttype": "path"}):
        figure.savefig(out, format=format, dpi=150, metadata=undated)
    return out.getvalue()


def _places(groups: Sequence[Sequence[Entry]]) -> list[tuple[int, int]]:
    """Row and column of each panel: a row for what was benched, a column for each metric.

    Each data set begins a row and has columns of its own; with one metric only, it fills its rows.
    """
    places: dict[int, tuple[int, int]] = {}
    sets = [" ".join(agreed(group[:1], SUBJECT[:1])) for group in groups]  # empty if not stated
    for data in dict.fromkeys(sets):
        members = [n for n, name in enumerate(sets) if name == data]
        inside = _places_on_one_data_set([groups[n] for n in members])
        if not any(column for _, column in inside):
            inside = [divmod(row, ACROSS) for row, _ in inside]
        down = 1 + max((row for row, _ in places.values()), default=-1)
        places |= {
            n: (down + row, column) for n, (row, column) in zip(members, inside, strict=True)
        }
    return [places[n] for n in range(len(groups))]


def _places_on_one_data_set(groups: Sequence[Sequence[Entry]]) -> list[tuple[int, int]]:
    """`_places` on one data set. Panels that differ in n alone stand in rows of their own."""
    places: list[tuple[int, int]] = []
    without_n = tuple(name for name in PROTOCOL if name != "n")
    for names in ((*SUBJECT, *without_n), (*SUBJECT, *PROTOCOL)):
        rows = [" ".join(agreed(group[:1], names)) for group in groups]
        columns = [group[0].metric for group in groups]
        places = [
            (list(dict.fromkeys(rows)).index(row), list(dict.fromkeys(columns)).index(column))
            for row, column in zip(rows, columns, strict=True)
        ]
        if len(set(places)) == len(places):
            break
    return places


def _points(group: Sequence[Entry]) -> list[Entry]:
    """The entries that can be drawn: measured, with an NFE, and with a part above zero."""
    return [
        entry
        for entry in group
        if entry.scope == "cell"
        and entry.source == "measured"
        and entry.nfe > 0
        and math.isfinite(entry.value)
        and (entry.value > 0 or entry.ci_high > 0)
    ]


def _panel(
    panel: "Axes",
    group: list[Entry],
    styles: dict[str, dict[str, Any]],
    groups: list[list[Entry]],
) -> None:
    """One metric of one model: lines, limits, floor and labels."""
    first, points = group[0], _points(group)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for label in dict.fromkeys(solver_label(entry) for entry in points):
        line = [entry for entry in points if solver_label(entry) == label]
        _curve(panel, sorted(line, key=lambda entry: entry.nfe), label, styles[label])
    _limits(panel, group, points)
    _floor(panel, group)
    varying = [name for name in PROTOCOL if len({getattr(g[0], name) for g in groups}) > 1]
    words = [*agreed([first], SUBJECT), *agreed([first], varying)]
    panel.set_title(textwrap.fill(" · ".join(words), TITLE), fontsize=9)
    unit = f" [{first.unit}]" if first.unit else ""
    panel.set_ylabel(f"{first.metric}{unit}")
    panel.set_xlabel("network evaluations per sample (NFE)")
    _ticks(panel.xaxis, panel.get_xlim())
    _ticks(panel.yaxis, panel.get_ylim())
    panel.grid(which="major", color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _curve(panel: "Axes", line: list[Entry], label: str, style: dict[str, Any]) -> None:
    """One solver: a line with intervals. It breaks where a value is at or below zero."""
    bars = [[], []]
    for entry in line:
        finite = math.isfinite(entry.ci_low) and math.isfinite(entry.ci_high)
        bars[0].append(entry.value - entry.ci_low if finite else 0.0)
        bars[1].append(entry.ci_high - entry.value if finite else 0.0)
    panel.errorbar(
        [entry.nfe for entry in line],
        [entry.value if entry.value > 0 else math.nan for entry in line],
        yerr=bars,
        label=label,
        linewidth=1.4,
        markersize=5,
        capsize=2.5,
        elinewidth=1.0,
        **style,
    )
    below = [entry for entry in line if entry.value <= 0]
    if below:
        arrow = {"marker": 7, "linestyle": "none"}
        ends = [entry.ci_high for entry in below]
        panel.plot([entry.nfe for entry in below], ends, color=style["color"], **arrow)
        panel.plot([], [], color=_GREY, label=_BELOW, **arrow)


def _limits(panel: "Axes", group: list[Entry], points: list[Entry]) -> None:
    """Limits of the axes. Values decide, so that an interval down to zero does not stretch them."""
    floors = [entry.value for entry in group if entry.scope == "floor" and entry.value > 0]
    heights = floors + [entry.value if entry.value > 0 else entry.ci_high for entry in points]
    tops = [entry.ci_high for entry in points if math.isfinite(entry.ci_high)]
    panel.set_ylim(min(heights) / 1.8, max(heights + tops) * 1.3)
    nfe = [entry.nfe for entry in points]
    panel.set_xlim(min(nfe) / 1.2, max(nfe) * 1.2)


def _ticks(axis: "Axis", ends: tuple[float, float]) -> None:
    """Ticks at 1, 2 and 5 within two decades, else at powers of ten, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if ends[1] < 100 * ends[0]:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda x, _: short(f"{x:g}")))
    axis.set_minor_formatter(NullFormatter())


def _floor(panel: "Axes", group: list[Entry]) -> None:
    """The floor, data against fresh data: what lies below it is as good as perfect."""
    for entry in group:
        if entry.scope != "floor" or not math.isfinite(entry.value):
            continue
        if entry.ci_high > 0:
            low = max(entry.ci_low, panel.get_ylim()[0])
            panel.axhspan(low, entry.ci_high, color=_GREY, alpha=0.15, linewidth=0)
        if entry.value > 0:
            panel.axhline(entry.value, color=_GREY, linestyle="--", linewidth=1.2, label="floor")
