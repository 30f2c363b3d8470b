"""Files in a data directory: where they are looked for, how they get there, which ones they are."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from sgmkit.errors import MissingFiles, UserError
from sgmkit_datasets.download import DownloadFailed, fetch, sha256

Root = Annotated[str | None, Doc("data directory; if none, $SGMKIT_DATA or data/")]
AGAIN = "delete it, and it is downloaded again"
Stamp = tuple[int, int]
"""Time of the last change of a file, in nanoseconds, and its size in bytes."""


def folder_of(root: str | None, name: str, files: Iterable[str]) -> Path:
    """The data directory where it holds one of ``files``, else its sub-folder ``name``."""
    base = Path(root or os.environ.get("SGMKIT_DATA") or "data").expanduser()
    return base if any((base / file).exists() for file in files) else base / name


def complete(
    folder: Path, name: str, files: Mapping[str, str | None], mirrors: Sequence[str]
) -> None:
    """Download what ``folder`` lacks of the files of data set ``name``.

    Args:
        folder: that they belong in.
        name: of the data set.
        files: their SHA-256, or None where it is not known.
        mirrors: URLs that their names are appended to, in order of preference.

    Raises:
        MissingFiles: where one cannot be had; all that are missing are named.
    """
    missing = [file for file in files if not (folder / file).exists()]
    try:
        while missing:
            fetch(folder, missing[0], files[missing[0]], mirrors)
            missing.pop(0)
    except DownloadFailed as error:
        them = "them" if len(missing) > 1 else "it"
        raise MissingFiles(
            f"{name} needs {', '.join(missing)}, which cannot be downloaded ({error}): put {them} "
            f"into '{folder}', or name the data directory with {name}:root=DIR or SGMKIT_DATA"
        ) from None


def stamp(path: Path) -> Stamp:
    """What changes when a file does."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def official(path: Path, digest: str, remedy: str = AGAIN) -> None:
    """Raise `UserError`, which names the remedy, unless a file has this SHA-256."""
    if (found := sha256(path)) != digest:
        raise UserError(
            f"'{path}' is not the official file: its SHA-256 is {found[:8]}..., not "
            f"{digest[:8]}...; {remedy}"
        )
