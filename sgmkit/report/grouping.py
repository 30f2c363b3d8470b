"""Which entries belong together: in one table, or in one panel of a figure."""

import math
from collections.abc import Iterable, Sequence

from sgmkit.report.numbers import short
from sgmkit.report.summary import Entry

SUBJECT = ("data", "run", "model", "network", "sde")
"""Columns that say what was benched."""
PROTOCOL = ("grid", "t_min", "last", "start", "images", "n", "dtype")
"""Columns that say how, apart from the solver and its budget."""
_ARROWS = {"lower": "↓", "higher": "↑"}
_WORDS = {
    "grid": "{} grid",
    "t_min": "t_min {}",
    "last": "last step {}",
    "start": "start {}",
    "images": "decoder {}",
    "n": "n {}",
}


def group_entries(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries that belong into one table; an entry may belong into several.

    Measured values decide which tables there are. Whatever does not state an axis (an adaptive
    solver has no grid, a floor no solver) belongs wherever the other axes agree.
    """
    groups: list[list[Entry]] = []
    for entry in sorted(entries, key=_rank):
        homes = [group for group in groups if _fits(entry, group[0])]
        # A group of another n is only a way out: some metrics look at fewer samples.
        same_n = [group for group in homes if axis(group[0], "n") == axis(entry, "n")]
        for group in same_n or homes:
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
    """The value of a column as text; empty where the entry does not state it."""
    value = getattr(entry, name)
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return ""
    return short(f"{value:.12g}")


def agreed(entries: Sequence[Entry], names: Iterable[str]) -> list[str]:
    """The columns on which all entries that state them agree, in words."""
    words: list[str] = []
    for name in names:
        values = {axis(entry, name) for entry in entries} - {""}
        if len(values) == 1:
            words.append(_WORDS.get(name, "{}").format(values.pop()))
    return words


def solver_label(entry: Entry) -> str:
    """``heun:churn=0.5``, as one writes it on the command line."""
    return ":".join(filter(None, (entry.solver, entry.options)))


def metric_label(entry: Entry) -> str:
    """``energy-distance ↓ [data units]``."""
    unit = f"[{entry.unit}]" if entry.unit else ""
    return " ".join(filter(None, (entry.metric, _ARROWS.get(entry.better, ""), unit)))


def _rank(entry: Entry) -> int:
    """Who decides on groups: values on a grid, other values, other measured entries, the rest."""
    if entry.source == "published":
        return 3
    if entry.scope == "floor":
        return 4
    return 2 if not entry.seeds else int(entry.grid == "")


def _fits(entry: Entry, host: Entry) -> bool:
    """Whether an entry agrees with the first one of a group on every axis that both state."""
    if entry.metric != host.metric:
        return False
    any_n = _rank(entry) > 1
    names = [name for name in (*SUBJECT, *PROTOCOL) if name != "n" or not any_n]
    pairs = [(axis(entry, name), axis(host, name)) for name in names]
    return all(a == b or not a or not b for a, b in pairs)
