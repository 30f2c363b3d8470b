"""Tensors on disk, each file named by what it was computed from; a damaged file is made again."""

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

from sgmkit.data import cache_directory, write_atomic

LIMIT = 8 << 30
"""Bytes kept in each folder of the cache."""

Tensors = dict[str, Tensor]


def digest(*facts: object) -> str:
    """A name for JSON-able facts: the first forty hexadecimal digits of their SHA-256."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def content(chunks: Iterable[Tensor]) -> str:
    """A name for the content of tensors ``(n, *event)`` laid end to end.

    It depends on the type, the event and the values, and not on how they are cut into chunks.
    """
    sha = hashlib.sha256()
    for place, chunk in enumerate(chunks):
        if not place:
            sha.update(f"{chunk.dtype} {tuple(chunk.shape[1:])}".encode())
        sha.update(chunk.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()[:40]


def cached(folder: str, key: str, make: Callable[[], Tensors], limit: int = LIMIT) -> Tensors:
    """The tensors in ``folder/key.safetensors`` of the cache, or else what ``make`` returns.

    A file holds the digest of its tensors, and counts only if they still agree. When a folder grows
    beyond ``limit`` bytes, the files that were not used for longest are deleted. A cache that
    cannot be written is no error: the tensors are made again the next time.
    """
    path = cache_directory() / folder / f"{key}.safetensors"
    stored = _read(path)
    if stored is not None:
        with suppress(OSError):
            os.utime(path)  # the time of change is when the file was last used
        return stored
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, safetensors.torch.save(tensors, {"digest": _digest(tensors)}))
        _delete_oldest(path.parent, limit)
    return tensors


def _digest(tensors: Tensors) -> str:
    parts = ((name, content([x]), list(x.shape)) for name, x in sorted(tensors.items()))
    return digest(*parts)


def _read(path: Path) -> Tensors | None:
    """The tensors of a file; None if there is no file, or its digest does not agree."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get("digest")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return None
    return tensors if expected == _digest(tensors) else None


def _delete_oldest(folder: Path, limit: int) -> None:
    stats = sorted(
        ((path.stat(), path) for path in folder.glob("*.safetensors")),
        key=lambda pair: pair[0].st_mtime_ns,
        reverse=True,
    )
    size = 0
    for stat, path in stats:
        size += stat.st_size
        if size > limit:
            path.unlink(missing_ok=True)
