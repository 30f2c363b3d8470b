"""From rows to entries: mean and interval over the seeds of each configuration."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sgmkit.benching.rows import Row, in_order

_KEY = (
    *("data", "run", "model", "network", "sde", "scope", "solver", "options", "grid"),
    *("t_min", "last", "start", "images", "budget", "dtype", "metric", "source", "n"),
)
"""The columns that a configuration is identified by; it has a row for each seed."""


def student_t(freedom: int) -> float:
    """97.5 % point of Student's t distribution: half a two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of two or more seeds with its 95 % interval; no interval where a value is infinite."""
    mean = sum(values) / len(values)
    if not all(map(math.isfinite, values)):
        return mean, math.nan, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = student_t(len(values) - 1) * math.sqrt(variance / len(values))
    return mean, mean - half, mean + half


@dataclass(frozen=True, kw_only=True)
class Entry(Row):
    """One configuration over its seeds: a `Row` whose numbers are means over them.

    Args:
        seeds: how many seeds have a value.
        missing: how many have none; ``reason`` says why.
    """

    seeds: int = 0
    missing: int = 0


ENTRY_COLUMNS = tuple(f.name for f in fields(Entry) if f.name not in ("seed", "hash"))
"""The columns of an entry; those of a single seed are left out."""


def aggregate(rows: Iterable[Row]) -> list[Entry]:
    """One `Entry` for each configuration, sorted.

    Two or more seeds give their mean with Student's t interval over the seeds; one seed gives the
    value and the interval of its own row.
    """
    rows = in_order(rows)
    # A failed seed may not know the n of its metric: it takes that of seeds which have a value.
    known_n = {_key(row)[:-1]: row.n for row in reversed(rows) if row.status == "ok"}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.status != "ok":
            row = replace(row, n=known_n.get(_key(row)[:-1], row.n))
        groups.setdefault(_key(row), []).append(row)
    return [_entry(groups[key]) for key in sorted(groups, key=_natural)]


def to_record(entry: Entry) -> dict[str, Any]:
    """The columns of an entry by name, at full precision."""
    return {name: getattr(entry, name) for name in ENTRY_COLUMNS}


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(getattr(row, name)) for name in _KEY)


def _natural(key: tuple[str, ...]) -> list[str]:
    """A sorting key that puts ``nfe=20`` before ``nfe=100``."""
    return [re.sub(r"\d+", lambda m: m[0].zfill(12), text) for text in key]


def _entry(rows: list[Row]) -> Entry:
    """The summary of the seeds of one configuration."""
    ok = [row for row in rows if row.status == "ok" and not math.isnan(row.value)]
    without_value = [row for row in rows if row not in ok]
    failed = any(row.status == "failed" for row in without_value)
    status = "failed" if failed else "n/a"
    # Two measurements of one seed are not two seeds: they count as their mean.
    seeds: dict[int | None, list[float]] = {}
    for row in ok:
        seeds.setdefault(row.seed, []).append(row.value)
    if len(seeds) > 1:
        value, low, high = mean_interval([_mean(values) for values in seeds.values()])
    else:
        value, low, high = (ok[0].value, ok[0].ci_low, ok[0].ci_high) if ok else (math.nan,) * 3
    reason = _joined(row.reason or "no value" for row in without_value)
    if ok and without_value:
        reason = f"{len(without_value)} of {len(rows)} seeds {status}: {reason}"
    numbers = {
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "status": "ok" if ok else status,
        "reason": "; ".join(filter(None, (reason, _joined(row.reason for row in ok)))),
        "nfe": _mean([row.nfe for row in ok]),
        "seconds_per_sample": _mean([row.seconds_per_sample for row in ok]),
        "device": _joined(row.device for row in rows),
        "versions": _joined(row.versions for row in rows),
        "seeds": len(seeds),
        "missing": len(without_value),
    }
    first = (ok or rows)[0]
    return Entry(**{field.name: getattr(first, field.name) for field in fields(Row)} | numbers)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(sorted(set(texts) - {""}))
