"""The best cell of a column: the one place that decides it."""

import math
from collections.abc import Iterable

from sgmkit.report.summary import Entry

SIGNS = {"lower": 1.0, "higher": -1.0}
"""What makes the better value the smaller one, by `Entry.better`; other metrics have no best."""


def best_of(column: Iterable[Entry], same_cost: bool = True) -> Entry | None:
    """The entry whose interval separates from that of every rival, or None.

    Rivals are measured: a published value has another protocol. An entry that lacks a seed, or has
    no rival, is never the best.

    Args:
        column: the entries of one metric under one budget.
        same_cost: whether they were given the same number of network evaluations. If not, the best
            must not have spent more than any rival.
    """
    rivals = [entry for entry in column if entry.seeds and entry.source == "measured"]
    sign = SIGNS.get(rivals[0].better) if rivals else None
    if len(rivals) < 2 or sign is None:
        return None
    best, *others = sorted(rivals, key=lambda entry: sign * entry.value)
    if best.missing:
        return None
    for other in others:
        if not _worst_end(best, sign) < _best_end(other, sign):
            return None
        if not same_cost and best.nfe > other.nfe:
            return None
    return best


def _worst_end(entry: Entry, sign: float) -> float:
    """The worse end of the interval, the smaller the better; NaN where there is no interval."""
    return entry.ci_high if sign > 0 else -entry.ci_low


def _best_end(entry: Entry, sign: float) -> float:
    """The better end of the interval, the smaller the better; infinite for an infinite value."""
    if math.isinf(entry.value):
        return math.inf
    return entry.ci_low if sign > 0 else -entry.ci_high
