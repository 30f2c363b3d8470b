"""Hashes that name cells, runs and weights: the first 16 hexadecimal digits of a SHA-256."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sgmkit.errors import BadValue

if TYPE_CHECKING:
    from torch import Tensor


def describe_hash(cell: Mapping[str, Any]) -> str:
    """Hash of a cell's description: the first 16 hexadecimal digits of the SHA-256 of its JSON.

    The order of keys does not matter at any depth; the order of list items does. Stored results are
    looked up by this hash: it must never change.

    Raises:
        BadValue: for a number that is not finite.
    """
    for key, value in cell.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise BadValue(f"{key} of a cell must be finite, got {value!r}") from None
    text = json.dumps(cell, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(state: "dict[str, Tensor]") -> str:
    """Hash of tensors by their names, dtypes, shapes and bytes: 16 digits as `describe_hash`."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()[:16]
