"""The Euler-Maruyama method."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit import LinearSDE
from sgmkit.processes import flow_operators
from sgmkit.solvers import Scheme, Step, one_stage_steps


@dataclass(frozen=True)
class Euler(Scheme):
    """Euler-Maruyama on the reverse SDE, of weak order one (Kloeden & Platen 1992, sec. 14.1)."""

    stochastic = True
    citation = "Kloeden & Platen 1992, sec. 14.1; Song et al. 2021, app. E"

    def steps(self, sde: LinearSDE, grid: Tensor) -> list[Step]:
        """``u_s = u + h (-F u + D s) + (h D)^{1/2} z`` with h = t - s."""
        t, h = grid[:-1], -grid.diff()[:, None, None]
        unit = torch.eye(sde.phases, dtype=grid.dtype)
        drift, half = flow_operators(sde, t, sde.kernel(t))
        parts = unit - h * drift, -2 * h * half, h.sqrt() * sde.noise_factor(t)
        return one_stage_steps(t, *parts, draws=1, driven=True)
