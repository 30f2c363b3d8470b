"""Copies of modules to look into, and numbers to look with: all in float64, none at random."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from sgmkit.noise import SeededNoise

M = TypeVar("M", bound=nn.Module)
STEP = 0.02
"""Standard deviation of what is added to each parameter."""
CLOSE = 1e-9
"""Relative difference that rounding may leave in float64."""


def copied(module: M) -> M:
    """A copy on the CPU, in float64."""
    return copy.deepcopy(module).to("cpu", torch.float64)


def moved(module: M) -> M:
    """A copy whose parameters are each moved a little: a fresh one may answer zero."""
    found = copied(module)
    with torch.no_grad():
        for name, value in found.named_parameters():
            value += STEP * numbers(value[None], name)[0]
    return found


def numbers(like: Tensor, purpose: str) -> Tensor:
    """Normal numbers of the shape and dtype of ``like (B, ...)``, one set for each purpose."""
    return SeededNoise(1, range(len(like))).stream(purpose)(like.detach())
