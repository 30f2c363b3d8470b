"""The reverse SDE with steps that each sample chooses."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Reverse, Solver, UserError
from sgmkit.noise import BrownianPath

MOST = 100_000
"""Steps, taken and refused, that one sample may try."""


@dataclass(frozen=True)
class AdaptiveSDE(Solver):
    """Euler-Maruyama and, on the same noise, its stochastic improved Euler: the latter is kept.

    Jolicoeur-Martineau et al. 2021 ("Gotta go fast"), alg. 1. The difference, in units of
    ``max(atol, rtol max(|u'|, |u'_prev|))``, chooses the step of each sample: ``h <- safety h
    E^{-power}``. A refused step is tried again on the same Brownian path, which is bridged: to
    draw anew would favour paths that are easy. A taken step costs two calls, a refused one one.
    """

    rtol: Annotated[float, Gt(0), Doc("relative tolerance")] = 2e-2
    atol: Annotated[float, Gt(0), Doc("absolute tolerance")] = 2e-2
    safety: Annotated[float, Gt(0), Le(1), Doc("factor on the next step")] = 0.9
    power: Annotated[float, Gt(0), Le(1), Doc("how strongly the error moves the step")] = 0.9

    order = 2
    cost = 2
    stochastic = True
    adaptive = True
    citation = "Jolicoeur-Martineau et al. 2021, alg. 1"

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        out, rows = u.clone(), torch.arange(len(u), device=u.device)
        start, end = float(grid[0]), float(grid[-1])
        t = torch.full((len(u),), start, dtype=torch.float64, device=u.device)
        h = (0.01 * (start - end)) * torch.ones_like(t)
        here, before = rev.select(rows), u
        path = BrownianPath(u[:, -rev.sde.driven :])
        slope = here.drift(u, t)
        for _ in range(MOST):
            wanted = torch.minimum(h, t - end)
            h = path.step(wanted)
            if bool((h < 1e-15 * t).any()) or not bool(u.isfinite().all()):
                raise UserError("adaptive-sde: a step vanished; loosen --tol")
            noise = path.draw(here.noise, h)
            arrives = h >= (t - end) * (1 - 1e-9)  # pieces of a path add up to rounding only
            later = torch.where(arrives, end, t - h)
            low, high = self._pair(here, u, slope, noise, t, later)
            size = self._size(low, high, before)
            taken = size <= 1
            path.settle(taken)
            h = h * (self.safety * size.clamp_min(1e-6) ** -self.power).clamp(0.1, 10.0)
            h = torch.where(taken, torch.maximum(h, wanted), h)  # the path, not the error, cut it
            shape = (-1, *([1] * (u.ndim - 1)))
            u = torch.where(taken.reshape(shape), high, u)
            before = torch.where(taken.reshape(shape), low, before)
            t = torch.where(taken, later, t)
            done = t <= end
            if bool(done.any()):
                out[rows[done]] = u[done]
                left = ~done
                if not bool(left.any()):
                    return out
                rows, u, before, slope, t, h = (v[left] for v in (rows, u, before, slope, t, h))
                taken, path, here = taken[left], path.select(left), rev.select(rows)
            if bool(taken.any()):
                part = here.select(taken)
                slope = slope.index_copy(0, taken.nonzero()[:, 0], part.drift(u[taken], t[taken]))
        raise UserError(f"adaptive-sde: {MOST} steps were not enough; loosen --tol")

    def _pair(
        self, rev: Reverse, u: Tensor, slope: Tensor, noise: Tensor, t: Tensor, s: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Euler-Maruyama, and the mean of it and a step with drift and noise of the end."""
        gap = (t - s).to(u).reshape(-1, *([1] * (u.ndim - 1)))
        low = u + gap * slope + rev.diffused(noise, t)
        again = u + gap * rev.drift(low, s) + rev.diffused(noise, s)
        return low, (low + again) / 2

    def _size(self, low: Tensor, high: Tensor, before: Tensor) -> Tensor:
        unit = self.rtol * torch.maximum(low.abs(), before.abs())
        error = (low - high) / unit.clamp_min(self.atol)
        return error.flatten(1).double().square().mean(1).sqrt()
