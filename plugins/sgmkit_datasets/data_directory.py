"""Files of a downloadable data set: where they are looked for, how they get there, their digest."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from sgmkit.data import DownloadFailed, fetch, sha256
from sgmkit.errors import MissingFiles, UserError

Root = Annotated[str | None, Doc("data directory; by default $SGMKIT_DATA, or data/")]
DOWNLOAD_AGAIN = "delete it, and it is downloaded again"
Stamp = tuple[int, int]
"""Time of the last change of a file, in nanoseconds, and its size in bytes."""


def data_folder(root: str | None, name: str, files: Iterable[str]) -> Path:
    """The folder for the files of data set ``name``.

    It is the data directory itself if that holds one of ``files``, else its sub-folder ``name``.
    The data directory is ``root``, else ``$SGMKIT_DATA``, else ``data``.
    """
    base = Path(root or os.environ.get("SGMKIT_DATA") or "data").expanduser()
    return base if any((base / file).exists() for file in files) else base / name


def download_missing(
    folder: Path, name: str, files: Mapping[str, str | None], mirrors: Sequence[str]
) -> None:
    """Download those files of data set ``name`` that ``folder`` lacks.

    Args:
        folder: where the files belong.
        name: of the data set.
        files: each file's SHA-256, or None where it is not known.
        mirrors: URLs to which a file's name is appended, in order of preference.

    Raises:
        MissingFiles: if a file cannot be downloaded; the message names all files that are missing.
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
    """Time of change and size of a file: if both are as before, the file is not read again."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def check_digest(path: Path, digest: str, remedy: str = DOWNLOAD_AGAIN) -> None:
    """Raise `UserError`, which ends in ``remedy``, unless the file has this SHA-256."""
    actual = sha256(path)
    if actual != digest:
        raise UserError(
            f"'{path}' is not the official file: its SHA-256 is {actual[:8]}..., not "
            f"{digest[:8]}...; {remedy}"
        )
