"""A row: one number of a bench with everything that is needed to read it.

Nothing heavy is imported here, neither torch nor pandas.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

TIMING_COLUMNS = ("seconds_per_sample",)
"""Columns that differ between two identical runs."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of one cell, with everything that is needed to read it.

    Args:
        options: the options of the solver that are not at their default, as text:
            ``churn=0.5:s_noise=1.003``.
        budget: the budget of the cell: ``nfe=50`` or ``tol=0.001``.
        nfe: measured mean of the network evaluations for each sample.
        scope: ``cell``; ``model``, where the model itself is measured and no solver runs; or
            ``floor``, where fresh data stand in for the samples.
        ci_low, ci_high: 95 % interval of ``value`` within this seed; NaN where there is none.
        better, ideal, unit: the facts of the metric, so that a report never compares names.
        status: ``ok``, ``n/a`` (the components do not go together) or ``failed``.
        reason: why there is no number; in a published row, its source and protocol.
        source: ``measured`` or ``published``.
    """

    run: str = ""
    model: str = ""
    sde: str = ""
    network: str = ""
    params: int | None = None
    data: str = ""
    solver: str = ""
    options: str = ""
    grid: str = ""
    t_min: float = math.nan
    last: str = ""
    start: str = ""
    images: str = ""
    budget: str = ""
    steps: int | None = None
    nfe: float = math.nan
    seed: int | None = None
    n: int | None = None
    scope: str = "cell"
    metric: str
    value: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    better: str = ""
    ideal: float = 0.0
    unit: str = ""
    status: str = "ok"
    reason: str = ""
    seconds_per_sample: float = math.nan
    device: str = ""
    dtype: str = ""
    versions: str = ""
    hash: str = ""
    source: str = "measured"


COLUMNS = tuple(field.name for field in fields(Row))
TYPES = get_type_hints(Row)
"""The type of each column: ``str``, ``float`` or ``int | None``."""
_ORDER = (
    *("data", "run", "model", "network", "sde", "scope", "solver", "options", "grid"),
    *("t_min", "last", "start", "images", "n", "dtype", "nfe", "budget", "steps", "seed", "metric"),
    *("source", "hash"),
)
"""The columns that rows are sorted by, the first one first."""
_IDENTITY = tuple(name for name in _ORDER if name != "nfe")
"""Rows of one hash that are equal in all of these are the same row."""


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Sorted rows, whatever their order was; of several that are the same row, the first stays.

    A missing number comes after all others, as pandas sorts it.
    """
    unique: dict[object, Row] = {}
    for row in rows:
        identity = _comparable(row, _IDENTITY) if row.hash else object()
        unique.setdefault(identity, row)
    return sorted(unique.values(), key=lambda row: _comparable(row, _ORDER))


def _comparable(row: Row, names: Iterable[str]) -> tuple[tuple[bool, Any], ...]:
    """The values of some columns in a form that is equal to itself and can be sorted."""
    values = (getattr(row, name) for name in names)
    return tuple((True, 0) if _missing(value) else (False, value) for value in values)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def to_record(row: Row) -> dict[str, Any]:
    """The row as JSON can hold it, a key for each column; `from_record` reads it."""
    return {name: plain(getattr(row, name)) for name in COLUMNS}


def from_record(record: Mapping[str, Any]) -> Row:
    """The row of a record. Columns that this version does not know are left out.

    Raises:
        TypeError, ValueError: where a value has the wrong type, or there is no metric.
    """
    return Row(**{name: _typed(record[name], name) for name in COLUMNS if name in record})


def plain(value: Any) -> Any:
    """JSON has neither NaN nor infinity: NaN becomes null, an infinity becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _typed(value: Any, name: str) -> Any:
    """A value read from JSON as the type of its column."""
    kind = TYPES[name]
    if kind is float:
        return math.nan if value is None else float(value)
    allowed = (str,) if kind is str else (int, type(None))
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")
    return value
