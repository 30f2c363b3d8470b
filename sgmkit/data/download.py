"""Downloads of data and weights: with progress, resumed after an interruption, and verified."""

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

from sgmkit._util.locks import locked
from sgmkit.errors import UserError

TIMEOUT = 15.0
"""Seconds without a byte after which a mirror is given up."""
_CHUNK = 1 << 16


class DownloadFailed(UserError):
    """No mirror gave the file; the message says for each mirror why not."""


class _MirrorFailed(Exception):
    """One mirror did not give the file; the message says why."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    folder: Path,
    name: str,
    digest: str | None,
    mirrors: Sequence[str],
    timeout: float = TIMEOUT,
) -> None:
    """Download ``folder/name`` from the first mirror that has it; do nothing if it is there.

    The bytes that arrive go to ``name.part``, which gets its final name only when it is complete
    and has the expected digest. After an interruption (Ctrl-C, a broken connection) that file
    stays, and the next call continues it, at whichever mirror. When several processes ask for one
    file, one of them downloads it and the others wait.

    Args:
        folder: created if it does not exist, and removed again if nothing arrived.
        name: of the file, on disk and on the mirrors.
        digest: SHA-256 of the file in hexadecimal digits; None where it is not known, and then
            only the length that the server states is checked.
        mirrors: URLs to which ``name`` is appended, in order of preference.
        timeout: seconds without a byte after which a mirror is given up.

    Raises:
        DownloadFailed: if no mirror gives the file.
        UserError: if the file cannot be written.
    """
    path, part = folder / name, folder / f"{name}.part"
    if path.exists():
        return
    with _created(folder), _exclusive(path):
        if path.exists():  # another process downloaded it while this one waited
            return
        reasons = []
        for mirror in mirrors:
            try:
                _from_mirror(mirror + name, part, digest, timeout)
            except _MirrorFailed as reason:
                reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
            else:
                with _write_errors(path):
                    os.replace(part, path)
                return
        raise DownloadFailed("; ".join(reasons) or "no mirror is known")


def _from_mirror(url: str, part: Path, digest: str | None, timeout: float) -> None:
    """Complete ``part``, and check its digest.

    If the digest is wrong and ``part`` was begun by an earlier call, the error may lie in that
    beginning: the whole file is then downloaded once more.
    """
    resumed = part.exists()
    _transfer(url, part, timeout)
    if digest is None:
        return
    actual = sha256(part)
    if actual == digest:
        return
    part.unlink()
    if not resumed:
        raise _MirrorFailed(f"a file with SHA-256 {actual[:8]}... instead of {digest[:8]}...")
    _from_mirror(url, part, digest, timeout)


def _transfer(url: str, part: Path, timeout: float) -> None:
    """Append the missing bytes to ``part``; rewrite it if the server sends the whole file."""
    size = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "sgmkit"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        with urlopen(Request(url, headers=headers), timeout=timeout) as response:
            _save(response, part, size if response.status == 206 else 0, url)
    except HTTPError as error:
        error.close()
        # 416, range not satisfiable: `part` has all bytes already.
        if error.code != 416 or not size:
            raise _MirrorFailed(f"HTTP status {error.code}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _MirrorFailed(getattr(reason, "strerror", None) or reason or "no answer") from None


def _save(response: Any, part: Path, start: int, url: str) -> None:
    """Write the body of ``response`` to ``part`` from byte ``start`` on, and flush it to disk."""
    length = response.headers["Content-Length"]
    total = start + int(length) if length else None
    done = start
    with (
        _progress(url, start, total) as show,
        _write_errors(part),
        open(part, "ab" if start else "wb") as file,
    ):
        while chunk := _read(response):
            file.write(chunk)
            show(done := done + len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _MirrorFailed(f"the connection ended after {done} of {total} bytes")


def _read(response: Any) -> bytes:
    """The next bytes; an error is the mirror's, not to be confused with one of the disk."""
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _MirrorFailed(f"the connection broke ({error or type(error).__name__})") from None


@contextmanager
def _progress(url: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Print the URL on standard error, and a progress bar if that is a terminal.

    The value is a function that takes the number of bytes there are so far.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    size = f" ({total / 1e6:.3g} MB)" if total is not None else ""
    line = f"{'resuming' if start else 'downloading'} {url}{size}"
    console.print(line, soft_wrap=True, markup=False, highlight=False)
    name = TextColumn("{task.description}")
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars as bar:
        task = bar.add_task(url.rpartition("/")[2], total=total, completed=start)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; if the body fails, remove those of them that are empty."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with _write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for place in new:
            with suppress(OSError):
                place.rmdir()
        raise


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time into the body, where the file system has locks.

    The lock is a hidden file beside ``path``. It is deleted while the lock is still held: a
    process that waits for it notices, and takes a new one.
    """
    lock = path.with_name(f".{path.name}.lock")
    with locked(lock):
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one line that names the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from None
