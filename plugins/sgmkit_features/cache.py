"""Tensors on disk, by what they were computed from: made once, and made again where damaged."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sgmkit._util.files import write_atomic

LIMIT = 8 << 30
"""Bytes kept in each folder: beyond them, what was not used for longest goes first."""

Tensors = dict[str, Tensor]


def directory() -> Path:
    """$SGMKIT_CACHE; else ``sgmkit`` in $XDG_CACHE_HOME or ``~/.cache``."""
    if given := os.environ.get("SGMKIT_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sgmkit"


def digest(*told: object) -> str:
    """Forty hexadecimal digits of SHA-256 of JSON-able facts."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def content(chunks: Iterable[Tensor]) -> str:
    """The same for tensors ``(n, *event)`` laid end to end: however they were cut, not their n."""
    told = hashlib.sha256()
    for place, chunk in enumerate(chunks):
        if not place:
            told.update(f"{chunk.dtype} {tuple(chunk.shape[1:])}".encode())
        told.update(chunk.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return told.hexdigest()[:40]


def cached(folder: str, key: str, make: Callable[[], Tensors]) -> Tensors:
    """What ``make`` returns, from ``folder/key.safetensors`` of the cache if it is there and whole.

    A file holds the digest of its tensors and counts only where they agree. A cache that cannot be
    written is no error: what was made is returned, and made again the next time.
    """
    path = directory() / folder / f"{key}.safetensors"
    if (found := _read(path)) is not None:
        with suppress(OSError):
            os.utime(path)  # used now
        return found
    made = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, safetensors.torch.save(made, {"digest": _digest(made)}))
        _prune(path.parent)
    return made


def _digest(tensors: Tensors) -> str:
    parts = ((name, content([x]), list(x.shape)) for name, x in sorted(tensors.items()))
    return digest(*parts)


def _read(path: Path) -> Tensors | None:
    """The tensors of a file; None where there is none, or not what was written."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get("digest")
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return None
    return found if told == _digest(found) else None


def _prune(folder: Path) -> None:
    stats = sorted(
        ((path.stat(), path) for path in folder.glob("*.safetensors")),
        key=lambda found: found[0].st_mtime_ns,
        reverse=True,
    )
    size = 0
    for stat, path in stats:
        size += stat.st_size
        if size > LIMIT:
            path.unlink(missing_ok=True)
