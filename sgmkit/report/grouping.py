"""Which numbers belong together: one table, or one panel of a figure."""

import math
from collections.abc import Iterable

from sgmkit.report.summary import Entry, short

_ARROWS = {"lower": "↓", "higher": "↑"}
WHO = ("data", "run", "model", "network", "sde")
HOW = ("grid", "t_min", "last", "start", "images", "n", "dtype")
SAY = {
    "grid": "{} grid",
    "t_min": "t_min {}",
    "last": "last step {}",
    "start": "start {}",
    "images": "decoder {}",
    "n": "n {}",
}


def group_cells(every: Iterable[Entry]) -> list[list[Entry]]:
    """Entries that belong into one table; an entry may belong into several.

    Measured values decide which tables there are. Whatever does not state an axis (an adaptive
    solver has no grid, a floor no solver) belongs wherever the other axes agree.
    """
    groups: list[list[Entry]] = []
    for entry in sorted(every, key=_guest):
        homes = [group for group in groups if _fits(entry, group[0])]
        if same_n := [group for group in homes if axis(group[0], "n") == axis(entry, "n")]:
            homes = same_n  # another n is only a way out: some metrics look at fewer samples
        for group in homes:
            group.append(entry)
        if not homes:
            groups.append([entry])
    return groups


def is_cost(group: Iterable[Entry]) -> bool:
    """Whether a metric repeats the measured NFE or seconds: then it is no error."""
    measured = [entry for entry in group if entry.scope == "cell" and entry.seeds]
    for name in ("nfe", "seconds_per_sample"):
        pairs = [(entry.value, getattr(entry, name)) for entry in measured]
        if pairs and all(math.isclose(a, b, rel_tol=1e-9) for a, b in pairs):
            return True
    return False


def axis(entry: Entry, name: str) -> str:
    """The value of an axis as text; empty where the entry does not state it."""
    value = getattr(entry, name)
    if value is None or value != value:
        return ""
    return value if isinstance(value, str) else short(f"{value:.12g}")


def solver_label(entry: Entry) -> str:
    """``heun:churn=0.5``, as one writes it on the command line."""
    return ":".join(filter(None, (entry.solver, entry.options)))


def metric_label(entry: Entry) -> str:
    """``energy-distance ↓ [data units]``."""
    unit = f"[{entry.unit}]" if entry.unit else ""
    return " ".join(filter(None, (entry.metric, _ARROWS.get(entry.better, ""), unit)))


def _guest(entry: Entry) -> int:
    """Who decides on tables: values on a grid, other values, the rest of measured, guests."""
    if entry.source == "published":
        return 3
    if entry.scope == "floor":
        return 4
    return 2 if not entry.seeds else int(entry.grid == "")


def _fits(entry: Entry, host: Entry) -> bool:
    """Whether an entry agrees with the first one of a table on every axis that both state."""
    free = ("n",) if _guest(entry) > 1 else ()
    pairs = [(axis(entry, name), axis(host, name)) for name in (*WHO, *HOW) if name not in free]
    return entry.metric == host.metric and all(a == b or not a or not b for a, b in pairs)


def said(group: list[Entry], names: Iterable[str]) -> list[str]:
    """Axes on which a whole group agrees, in words."""
    words = []
    for name in names:
        values = {axis(entry, name) for entry in group} - {""}
        if len(values) == 1:
            words.append(SAY.get(name, "{}").format(values.pop()))
    return words
