"""Results on disk: one JSON file for each cell, named by the hash of the cell's description.

Nothing heavy is imported here, neither torch nor pandas.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sgmkit._util.files import write_atomic
from sgmkit._util.locks import locked
from sgmkit.benching.rows import Row, from_record, in_order, to_record
from sgmkit.errors import IncompleteFile, UnknownName, UserError

FORMAT = 1
"""Version of the file layout, stated in every file."""
LOCK = ".lock"
"""Name of the lock in a results directory. No reader opens files whose names start with a dot."""


class Store:
    """A results directory with a file ``<hash>.json`` for each cell, made at the first write.

    File names depend on content alone, so two processes on one directory lose nothing.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def path(self, hash: str) -> Path:
        return self.directory / f"{hash}.json"

    def read(self, hash: str) -> dict[str, Any] | None:
        """The file of one cell as ``{"format", "cell", "rows"}``; None if there is no file.

        Raises:
            IncompleteFile: where the file is cut short; `valid` treats it as absent.
        """
        path = self.path(hash)
        return _parse(path) if path.exists() else None

    def rows(self, hash: str) -> list[Row]:
        """The rows of one cell; empty if it has no file."""
        payload = self.read(hash)
        return [] if payload is None else _rows(payload, self.path(hash))

    def valid(self, hash: str) -> bool:
        """Whether the file of the cell is there and whole; otherwise the bench computes the cell.

        Raises:
            UserError: for a file that must not be written over, such as one of another format.
        """
        try:
            self.rows(hash)
        except IncompleteFile:
            return False
        return self.path(hash).exists()

    def write(self, hash: str, cell: Mapping[str, Any], rows: Iterable[Row]) -> None:
        """Write the file of one cell, whole or not at all."""
        payload = {"format": FORMAT, "cell": cell, "rows": [to_record(row) for row in rows]}
        text = json.dumps(payload, indent=1, allow_nan=False) + "\n"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path(hash), text.encode())
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from None

    def locked(self) -> AbstractContextManager[None]:
        """A lock on the directory: one process at a time reads a file and writes it again."""
        return locked(self.directory / LOCK)

    def check_writable(self) -> None:
        """Raise `UserError` unless files can be made here. Nothing on disk is touched."""
        place = self.directory.absolute()
        while not os.path.lexists(place):
            place = place.parent
        if not place.is_dir():
            raise self._unwritable("Not a directory")
        if _is_read_only(place):
            raise self._unwritable("Read-only file system")
        if not os.access(place, os.W_OK | os.X_OK):
            raise self._unwritable("Permission denied")

    def _unwritable(self, reason: str) -> UserError:
        return UserError(
            f"cannot write to results directory '{self.directory}': {reason}; "
            "choose another with --out"
        )


def read_rows(*paths: str | Path) -> list[Row]:
    """Every row under ``paths``, in a fixed order.

    Each path is a results directory, a directory that holds ``results/``, or a ``.json`` file;
    with no path, it is the working directory. A cell that lies under two paths counts once, and
    the first path decides.

    Raises:
        UserError: where a path holds no results, or a file cannot be read.
    """
    files: dict[Path, Path] = {}
    for path in paths or (".",):
        for file in _files(Path(path)):
            files.setdefault(file.resolve(), file)
    return in_order(row for file in files.values() for row in _rows(_parse(file), file))


def _is_read_only(directory: Path) -> bool:
    if not hasattr(os, "statvfs"):  # Windows: whether a write succeeds is seen when it is tried
        return False
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)


def _files(path: Path) -> list[Path]:
    """The results files that ``path`` stands for, sorted; never those that start with a dot."""
    if path.is_file():
        return [path]
    for directory in (path / "results", path):
        if files := sorted(_json_files(directory)):
            return files
    raise UnknownName(f"no results at '{path}'; run sgmkit bench first")


def _json_files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (p for p in directory.glob("*.json") if not p.name.startswith("."))


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


def _broken(path: Path, place: str) -> IncompleteFile:
    return IncompleteFile(
        f"{path} is cut short or not a results file ({place}); delete it and run the bench again"
    )


def _rows(payload: dict[str, Any], path: Path) -> list[Row]:
    rows: list[Row] = []
    for index, record in enumerate(payload["rows"]):
        try:
            rows.append(from_record(record))
        except (TypeError, ValueError) as error:
            raise _broken(path, f"row {index}: {error}") from None
    return rows
