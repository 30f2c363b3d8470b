"""Results on disk: one row per number, one file per cell, named by the hash of its description.

Nothing heavy is imported here: pandas is loaded inside the functions that return a DataFrame.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from sgmkit._util.files import write_atomic
from sgmkit.errors import IncompleteFile, UnknownName, UserError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Version of the file layout, stated in every file."""
TIMING_COLUMNS = ("seconds_per_sample",)
"""Columns that differ between two identical runs; see also `without_timing`."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of one cell, with everything that is needed to read it.

    Args:
        options: canonical text of the solver's non-default options, ``churn=0.5:s_noise=1.003``.
        budget: what was asked for, ``nfe=50``, ``steps=50`` or ``tol=0.001``.
        nfe: measured mean of network evaluations per sample.
        ci_low, ci_high: 95 % interval of ``value`` within this seed; ``nan`` where there is none.
        status: ``ok``, ``n/a`` (incompatible) or ``failed``; the last two have a ``reason``.
        reason: why there is no number; in a published row, its source and protocol.
        better, ideal, unit: the facts of the metric, so that a report never compares names.
        scope: ``cell``, ``model`` (no solver) or ``floor`` (data against fresh data).
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


COLUMNS = tuple(f.name for f in fields(Row))
_TYPES = get_type_hints(Row)
_IDENTITY = (
    *("data", "run", "model", "network", "sde", "scope", "solver", "options", "grid"),
    *("t_min", "last", "start", "images", "n", "dtype", "nfe", "budget", "steps", "seed", "metric"),
    *("source", "hash"),
)
"""The order of rows in a frame; rows equal in all of these are the same row."""


class Store:
    """A results directory: ``<hash>.json`` for each cell, made at the first write.

    File names depend on content alone, so two processes on one directory lose nothing.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def path(self, hash: str) -> Path:
        return self.directory / f"{hash}.json"

    def read(self, hash: str) -> dict[str, Any] | None:
        """The file of one cell as ``{"format", "cell", "rows"}``; None if there is none.

        Raises `UserError` where the file is cut short; ask `valid` to treat it as absent.
        """
        path = self.path(hash)
        return _parse(path) if path.exists() else None

    def rows(self, hash: str) -> list[Row]:
        """The rows of one cell; empty if it has no file."""
        payload = self.read(hash)
        return [] if payload is None else _rows(payload, self.path(hash))

    def valid(self, hash: str) -> bool:
        """Whether the cell is there and whole: if not, it is computed (again). Raises as `read`
        for what must not be written over: a file of another format."""
        try:
            self.rows(hash)
        except IncompleteFile:
            return False
        return self.path(hash).exists()

    def write(self, hash: str, cell: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Write one cell atomically; the temporary name starts with a dot and ends in ``.tmp``."""
        records = [{name: plain(getattr(row, name)) for name in COLUMNS} for row in rows]
        payload = {"format": FORMAT, "cell": cell, "rows": records}
        text = json.dumps(payload, indent=1, allow_nan=False) + "\n"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path(hash), text.encode())
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from None

    def check_writable(self) -> None:
        """Raise `UserError` unless files can be made here. Touches nothing on disk."""
        place = self.directory.absolute()
        while not os.path.lexists(place):
            place = place.parent
        if not place.is_dir():
            raise self._unwritable("Not a directory")
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            raise self._unwritable("Read-only file system")
        if not os.access(place, os.W_OK | os.X_OK):
            raise self._unwritable("Permission denied")

    def _unwritable(self, why: str) -> UserError:
        return UserError(
            f"cannot write to results directory '{self.directory}': {why}; "
            "choose another with --out"
        )


def load_results(*paths: str | Path) -> "pd.DataFrame":
    """Every row under ``paths`` as a DataFrame with the columns of `Row`, in a fixed order.

    Each path is a results directory, one that holds ``results/``, or a ``.json`` file; with no
    path, the working directory. A cell that is found twice counts once: the first path wins.
    """
    files: dict[Path, Path] = {}
    for path in paths or (".",):
        for file in _files(Path(path)):
            files.setdefault(file.resolve(), file)
    return to_frame(row for file in files.values() for row in _rows(_parse(file), file))


def to_frame(rows: Iterable[Row]) -> "pd.DataFrame":
    """Rows as a typed DataFrame: deterministic order, one row per cell and metric."""
    import pandas as pd

    records = [[getattr(row, name) for name in COLUMNS] for row in rows]
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    kinds = {float: "float64", int | None: "Int64", str: str}
    frame = frame.astype({name: kinds[_TYPES[name]] for name in COLUMNS})
    same_cell = [name for name in _IDENTITY if name != "nfe"]
    once = ~frame.duplicated(same_cell) | (frame["hash"] == "")
    return frame.loc[once].sort_values(by=list(_IDENTITY), ignore_index=True)


def from_frame(frame: "pd.DataFrame") -> list[Row]:
    """The rows of a DataFrame made by `to_frame` or `load_results`."""
    import pandas as pd

    def value(x: Any, name: str) -> Any:
        return (None if x is pd.NA else int(x)) if _TYPES[name] == int | None else x

    columns = [[value(x, name) for x in frame[name]] for name in COLUMNS]
    return [Row(**dict(zip(COLUMNS, row, strict=True))) for row in zip(*columns, strict=True)]


def without_timing(frame: "pd.DataFrame") -> "pd.DataFrame":
    """``frame`` less what two runs of one bench never share: the timing columns, and the rows
    whose value repeats one of them (seconds per sample as a metric).
    """
    timing = frame["value"] == frame["seconds_per_sample"]
    return frame.loc[~timing].drop(columns=list(TIMING_COLUMNS)).reset_index(drop=True)


def _files(path: Path) -> list[Path]:
    """The results files that ``path`` stands for, sorted; temporary files do not count."""
    places = (path / "results", path) if path.is_dir() else ()
    found = [path] if path.is_file() else []
    for place in places:
        if not found and place.is_dir():
            found = sorted(p for p in place.glob("*.json") if not p.name.startswith("."))
    if not found:
        raise UnknownName(f"no results at '{path}'; run sgmkit bench first")
    return found


def _parse(path: Path) -> dict[str, Any]:
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise _broken(path, f"line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise _broken(path, f"byte {error.start}") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; check its permissions") from None
    shape = {"format": int, "cell": dict, "rows": list}
    for key, kind in shape.items():
        if not isinstance(payload, dict) or not isinstance(payload.get(key), kind):
            raise UserError(f"{path} is not a results file (no {key}); move it somewhere else")
    if payload["format"] != FORMAT:
        raise UserError(
            f"{path} has format {payload['format']} and this sgmkit reads {FORMAT}; "
            "use the sgmkit that wrote it"
        )
    return payload


def _broken(path: Path, where: str) -> IncompleteFile:
    return IncompleteFile(
        f"{path} is cut short or not a results file ({where}); delete it and run the bench again"
    )


def _rows(payload: dict[str, Any], path: Path) -> list[Row]:
    """Rows of a file; keys that this version does not know are left out, bad values are errors."""
    rows = []
    for index, record in enumerate(payload["rows"]):
        try:
            known = {name: _typed(record[name], name) for name in COLUMNS if name in record}
            rows.append(Row(**known))
        except (TypeError, ValueError) as error:
            raise _broken(path, f"row {index}: {error}") from None
    return rows


def plain(value: Any) -> Any:
    """JSON has no nan and no infinity: nan becomes null, infinities become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _typed(value: Any, name: str) -> Any:
    """A value read from JSON as the type of its `Row` field."""
    kind = _TYPES[name]
    if kind is float:
        return math.nan if value is None else float(value)
    allowed = (str,) if kind is str else (int, type(None))
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")
    return value
