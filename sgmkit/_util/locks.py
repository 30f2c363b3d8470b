"""A lock between processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``: other processes that ask for it wait.

    Its directory is made; the empty file stays, because a process that waits may have opened it.
    Where the file system cannot lock, or the file cannot be made, there is no lock: whoever then
    writes beside it learns what is wrong with the directory.
    """
    from filelock import FileLock

    lock = FileLock(path, poll_interval=0.01)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()  # does nothing where the lock is not held
