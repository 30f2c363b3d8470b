"""Copies of modules in float64, with perturbed parameters, and reproducible inputs for them."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from sgmkit.noise import SeededNoise

M = TypeVar("M", bound=nn.Module)
STEP = 0.02
"""Standard deviation of the perturbation of each parameter."""
CLOSE = 1e-9
"""Largest relative difference that rounding may leave in float64."""


def copied(module: M) -> M:
    """A copy on the CPU, in float64."""
    return copy.deepcopy(module).to("cpu", torch.float64)


def moved(module: M) -> M:
    """A copy with slightly perturbed parameters: a freshly initialised module may return zero."""
    copy_ = copied(module)
    with torch.no_grad():
        for name, value in copy_.named_parameters():
            value += STEP * numbers(value[None], name)[0]
    return copy_


def numbers(like: Tensor, purpose: str) -> Tensor:
    """Normal numbers with the shape and dtype of ``like (B, ...)``, the same for each purpose."""
    return SeededNoise(1, range(len(like))).stream(purpose)(like.detach())
