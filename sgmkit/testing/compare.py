"""Differences between two results in relative units, and how messages print matrices."""

import math

import torch
from torch import Tensor

from sgmkit.processes import LinearSDE

CLOSE = 1e-6
"""Largest relative difference that rounding and a process's quadrature may leave in float64."""


def inner_times(sde: LinearSDE, dtype: torch.dtype = torch.float64) -> Tensor:
    """Times in ``[1e-5 T, T)``, ``(24,)``: half evenly spaced in log t, half in t."""
    even = torch.linspace(0.04, 0.995, 12, dtype=torch.float64)
    log = torch.logspace(-5, -1.5, 12, dtype=torch.float64)
    return (sde.horizon * torch.cat([log, even])).to(dtype)


def horizon(sde: LinearSDE) -> Tensor:
    """T, ``()`` float64."""
    return torch.tensor(sde.horizon, dtype=torch.float64)


def largest(values: Tensor) -> float:
    """The largest absolute entry; NaN counts as infinite."""
    value = float(values.abs().max()) if values.numel() else 0.0
    return math.inf if math.isnan(value) else value


def relative(value: Tensor, expected: Tensor, axes: int = 2) -> float:
    """Largest difference, relative to the largest expected entry over the last ``axes`` axes."""
    unit = expected.abs().amax(tuple(range(-axes, 0)), keepdim=True)
    return largest((value - expected) / unit.clamp_min(1e-9))


def relative_cov(cov: Tensor, expected: Tensor) -> float:
    """Largest difference of covariances: entry ij relative to the expected ``sqrt(C_ii C_jj)``."""
    scale = expected.diagonal(dim1=-2, dim2=-1).clamp_min(1e-300).sqrt()
    return largest((cov - expected) / (scale[..., :, None] * scale[..., None, :]))


def show(matrix: Tensor) -> str:
    """A small matrix in one line."""
    rows = ("(" + ", ".join(f"{x:.3g}" for x in row) + ")" for row in matrix.tolist())
    return "(" + ", ".join(rows) + ")"
