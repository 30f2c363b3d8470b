"""Downloads: with progress, resumed where they stopped, and held to a checksum if one is known."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sgmkit.errors import UserError

TIMEOUT = 15.0
"""Seconds without a byte after which a mirror counts as silent."""
_CHUNK = 1 << 16


class DownloadFailed(UserError):
    """No mirror gave the file; the message says of each why not."""


class _Refused(Exception):
    """One mirror did not give the file: why."""


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(folder: Path, name: str, digest: str | None, mirrors: Sequence[str]) -> None:
    """Download ``folder/name`` from the first mirror that has it; there already: do nothing.

    What arrives is kept in ``name.part`` until it is whole and right, so that a later call goes on
    where an interrupted one stopped. Of several processes one downloads and the others wait.

    Args:
        folder: made if need be, and removed again if nothing came.
        name: of the file, there and on the mirrors.
        digest: its SHA-256; None where it is not known, and length alone tells what is whole.
        mirrors: URLs that ``name`` is appended to, in order of preference.

    Raises:
        DownloadFailed: where no mirror gives the file.
        UserError: where it cannot be written.
    """
    path, part = folder / name, folder / f"{name}.part"
    with _made(folder), _locked(folder):
        if path.exists():
            return
        reasons = []
        for mirror in mirrors:
            try:
                _from_mirror(mirror + name, part, digest)
            except _Refused as reason:
                reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
            else:
                with _on_disk(path):
                    os.replace(part, path)
                return
        raise DownloadFailed("; ".join(reasons) or "no mirror is known")


def _from_mirror(url: str, part: Path, digest: str | None) -> None:
    """Complete ``part``; one that was begun elsewhere and ends wrong is begun once more."""
    resumed = part.exists()
    _transfer(url, part)
    if digest is None:
        return
    found = sha256(part)
    if found == digest:
        return
    part.unlink()
    if not resumed:
        raise _Refused(f"a file with SHA-256 {found[:8]}... instead of {digest[:8]}...")
    _from_mirror(url, part, digest)


def _transfer(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks, or write it anew where the server sends all of it."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "sgmkit"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as response:
            _save(response, part, have if response.status == 206 else 0, url)
    except HTTPError as error:
        error.close()
        if error.code != 416 or not have:  # 416: there is nothing behind what we have
            raise _Refused(f"HTTP status {error.code}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _Refused(getattr(reason, "strerror", None) or reason or "no answer") from None


def _save(response: Any, part: Path, start: int, url: str) -> None:
    length = response.headers["Content-Length"]
    total = start + int(length) if length else None
    done = start
    with (
        _progress(url, start, total) as show,
        _on_disk(part),
        open(part, "ab" if start else "wb") as file,
    ):
        while chunk := _read(response):
            file.write(chunk)
            show(done := done + len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Refused(f"the connection ended after {done} of {total} bytes")


def _read(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:  # not to be taken for an error of the disk
        raise _Refused(f"the connection broke ({error or type(error).__name__})") from None


@contextmanager
def _progress(url: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """What is downloaded, as a line on standard error, and a bar where that is a terminal."""
    console = Console(stderr=True)
    told = f"{'resuming' if start else 'downloading'} {url}"
    console.print(told, soft_wrap=True, markup=False, highlight=False)
    name = TextColumn("{task.description}")
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars as bar:
        task = bar.add_task(url.rpartition("/")[2], total=total, completed=start)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; those that are empty when the body fails go again."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with _on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for place in new:
            with suppress(OSError):
                place.rmdir()
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; where the file system has no locks, the checksum must do."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from None
