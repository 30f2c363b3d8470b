"""Euler-Maruyama."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.linear import Operator, operators
from sgmkit.score import flow_operators
from sgmkit.tables import tabled


@dataclass(frozen=True)
class Euler(Solver):
    """Euler-Maruyama on the reverse SDE: weak order one (Kloeden & Platen 1992, sec. 14.1)."""

    stochastic = True

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        for t, step in zip(grid[:-1], _table(rev.sde, grid), strict=True):
            u = step(u, rev.eps(u, t), rev.draw(u))
        return u


@tabled
def _table(sde: LinearSDE, grid: Tensor) -> list[Operator]:
    """Each step, ``u + h (-F u + D s) + (h D)^{1/2} z``, on u, eps and z."""
    t, h = grid[:-1], -grid.diff()[:, None, None]
    unit = torch.eye(sde.phases, dtype=grid.dtype)
    drift, half = flow_operators(sde, t, sde.kernel(t))
    return operators(unit - h * drift, -2 * h * half, h.sqrt() * sde.noise_factor(t))
