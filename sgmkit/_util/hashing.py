"""Hashes that name cells, runs and weights: sixteen hexadecimal digits of a SHA-256."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sgmkit.errors import BadValue

if TYPE_CHECKING:
    from torch import Tensor


def describe_hash(cell: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of a cell's description: SHA-256 of its canonical JSON.

    The order of keys does not matter at any depth; the order of list items does.
    """
    for key, value in cell.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise BadValue(f"{key} of a cell must be finite, got {value!r}") from None
    text = json.dumps(cell, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(state: "dict[str, Tensor]") -> str:
    """Sixteen hexadecimal digits of the SHA-256 of tensors: names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()[:16]
