"""From rows to numbers: mean and interval over seeds, and how such a number is written."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from sgmkit.benching.results import Row, from_frame

if TYPE_CHECKING:
    import pandas as pd

_KEY = (
    *("data", "run", "model", "network", "sde", "scope", "solver", "options", "grid"),
    *("t_min", "last", "start", "images", "budget", "dtype", "metric", "source", "n"),
)

# Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom.
_STUDENT = (
    *(12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836),
    *(2.446911851, 2.364624252, 2.306004135, 2.262157163, 2.228138852),
)


def student_t(freedom: int) -> float:
    """97.5 % point of Student's t: a table to 10, then Cornish-Fisher (error below 2e-5).

    Abramowitz and Stegun 1964, 26.7.5.
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


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


def entries(frame: "pd.DataFrame") -> list[Entry]:
    """One `Entry` per configuration, sorted.

    Two or more seeds: mean with Student's t interval over seeds. One seed: the interval of its
    own row.
    """
    rows = from_frame(frame)
    # A failed seed may not know the n of its metric: it is counted with its fellows.
    known = {_key(row)[:-1]: row.n for row in reversed(rows) if row.status == "ok"}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.status != "ok":
            row = replace(row, n=known.get(_key(row)[:-1], row.n))
        groups.setdefault(_key(row), []).append(row)
    return [_entry(groups[key]) for key in sorted(groups, key=_natural)]


def aggregate(frame: "pd.DataFrame") -> "pd.DataFrame":
    """`entries` as a DataFrame, at full precision; columns of a single seed are left out."""
    import pandas as pd

    names = [f.name for f in fields(Entry) if f.name not in ("seed", "hash")]
    records = [[getattr(entry, name) for name in names] for entry in entries(frame)]
    integers = dict.fromkeys(("params", "steps", "n"), "Int64")
    return pd.DataFrame(records, columns=names).astype(integers)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(getattr(row, name)) for name in _KEY)


def _natural(key: tuple[str, ...]) -> list[str]:
    """A sorting key that puts ``nfe=20`` before ``nfe=100``."""
    return [re.sub(r"\d+", lambda m: m[0].zfill(12), text) for text in key]


def _entry(rows: list[Row]) -> Entry:
    """The summary of the seeds of one configuration."""
    ok = [row for row in rows if row.status == "ok" and not math.isnan(row.value)]
    bad = [row for row in rows if row not in ok]
    status = "failed" if any(row.status == "failed" for row in bad) else "n/a"
    # Two measurements of one seed are no two seeds: they count as their mean.
    seeds: dict[int | None, list[float]] = {}
    for row in ok:
        seeds.setdefault(row.seed, []).append(row.value)
    if len(seeds) > 1:
        value, low, high = mean_interval([_mean(values) for values in seeds.values()])
    else:
        value, low, high = (ok[0].value, ok[0].ci_low, ok[0].ci_high) if ok else (math.nan,) * 3
    why = _joined(row.reason or "no value" for row in bad)
    if ok and bad:
        why = f"{len(bad)} of {len(rows)} seeds {status}: {why}"
    facts = {f.name: getattr((ok or rows)[0], f.name) for f in fields(Row)}
    return Entry(
        **facts
        | {
            "value": value,
            "ci_low": low,
            "ci_high": high,
            "status": "ok" if ok else status,
            "reason": "; ".join(filter(None, (why, _joined(row.reason for row in ok)))),
            "nfe": _mean([row.nfe for row in ok]),
            "seconds_per_sample": _mean([row.seconds_per_sample for row in ok]),
            "device": _joined(row.device for row in rows),
            "versions": _joined(row.versions for row in rows),
            "seeds": len(seeds),
            "missing": len(bad),
        }
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(sorted(set(texts) - {""}))


def best_of(rivals: list[Entry], same_cost: bool = True) -> set[int]:
    """``{id(best)}`` if its interval separates from that of every rival, else nothing.

    Published values are no rivals: their protocol is another. Where rivals were not given the
    same number of evaluations, the best must not have spent more than any of them.
    """
    rivals = [entry for entry in rivals if entry.seeds and entry.source == "measured"]
    sign = {"lower": 1.0, "higher": -1.0}.get(rivals[0].better, 0.0) if rivals else 0.0
    if len(rivals) < 2 or not sign:
        return set()
    best, *others = sorted(rivals, key=lambda entry: sign * entry.value)
    reach = best.ci_high if sign > 0 else -best.ci_low
    for other in others:
        edge = other.ci_low if sign > 0 else -other.ci_high
        if math.isinf(other.value):
            edge = math.inf
        if not reach < edge or (not same_cost and best.nfe > other.nfe):
            return set()
    return set() if best.missing else {id(best)}


def number(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """``0.123 ± 0.004``: as many digits as the interval allows, one or two of the interval itself.

    The wider side of an uneven interval is shown. Without an interval: four digits.
    """
    half = max(high - value, value - low)
    if not math.isfinite(value):
        return "—" if math.isnan(value) else str(value)
    if not math.isfinite(half) or half <= 1e-6 * abs(value):
        return _plain(value)
    power, lead = _power(max(abs(value), half)), _power(half)
    places = (1 if half < 1.95 * 10.0**lead else 0) - lead
    if -4 < power < 6:
        return f"{_fixed(value, places)} ± {_fixed(half, places)}"
    values = (_fixed(x / 10.0**power, places + power) for x in (value, half))
    return " ± ".join(f"{x}e{power}" for x in values)


def _plain(value: float) -> str:
    if value == round(value) and abs(value) < 1e6:
        return _fixed(value, 0)
    power = _power(abs(value))
    return _fixed(value, 3 - power) if -4 < power < 6 else short(f"{value:.3e}")


def _fixed(value: float, places: int) -> str:
    places = max(0, places)
    return f"{round(value, places) + 0.0:.{places}f}"  # adding zero turns -0.0 into 0.0


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def short(text: str) -> str:
    """``1e-05`` as ``1e-5``."""
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].replace('+', '')}{m[2]}", text)
