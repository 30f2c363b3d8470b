"""Shapes: numbers of a batch that act on whole states."""

import torch
from torch import Tensor


def over_event(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value for each sample so that it broadcasts over a state.

    Args:
        values: ``(B,)``, or ``()`` for one value for all samples.
        like: the state, ``(B, ...)``.

    Returns:
        ``(B, 1, ..., 1)`` with as many axes as ``like``; truth values stay truth values, numbers
        take the dtype and device of ``like``. Differentiable.
    """
    column = values.reshape(-1, *([1] * (like.ndim - 1)))
    return column if values.dtype == torch.bool else column.to(like)
