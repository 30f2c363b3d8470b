"""An adaptive solver of the reverse SDE that controls the step of each sample on its own."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Reverse, Solver, UserError
from sgmkit.noise import BrownianPath
from sgmkit.processes import over_event

MOST = 100_000
"""Limit on the steps of one sample, accepted and rejected ones together."""


@dataclass(frozen=True)
class AdaptiveSDE(Solver):
    """Stochastic improved Euler, with Euler-Maruyama on the same noise for error control.

    Jolicoeur-Martineau et al. 2021 ("Gotta Go Fast"), alg. 1. The difference E of the two, in units
    of ``max(atol, rtol max(|u'|, |u'_prev|))``, sets the next step of each sample: ``h <- safety h
    E^{-power}``. A rejected step is tried again on the same Brownian path, by a Brownian bridge,
    because new noise would favour paths that are easy. An accepted step costs two network calls, a
    rejected one costs one.
    """

    rtol: Annotated[float, Gt(0), Doc("relative tolerance")] = 2e-2
    atol: Annotated[float, Gt(0), Doc("absolute tolerance")] = 2e-2
    safety: Annotated[float, Gt(0), Le(1), Doc("factor on the next step")] = 0.9
    power: Annotated[float, Gt(0), Le(1), Doc("power of the error in the next step")] = 0.9

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
            proposed = torch.minimum(h, t - end)
            h = path.step(proposed)
            if not bool((h >= 1e-15 * t).all()) or not bool(u.isfinite().all()):
                raise UserError("adaptive-sde: a step vanished; loosen --tol")
            noise = path.draw(here.noise, h)
            arrives = h >= (t - end) * (1 - 1e-9)  # pieces of a path add up to rounding only
            later = torch.where(arrives, end, t - h)
            low, high = self._pair(here, u, slope, noise, t, later)
            size = self._size(low, high, before)
            taken = size <= 1
            path.settle(taken)
            h = h * (self.safety * size.clamp_min(1e-6) ** -self.power).clamp(0.1, 10.0)
            h = torch.where(taken, torch.maximum(h, proposed), h)  # if the path shortened it
            u = torch.where(over_event(taken, u), high, u)
            before = torch.where(over_event(taken, u), low, before)
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
        """Euler-Maruyama, and the mean of it and a step with drift and noise of the end.

        ``u' = u + h f(u, t) + g(t) dw`` and ``u'' = (u' + u + h f(u', s) + g(s) dw) / 2``.
        """
        gap = over_event(t - s, u)
        low = u + gap * slope + rev.diffused(noise, t)
        again = u + gap * rev.drift(low, s) + rev.diffused(noise, s)
        return low, (low + again) / 2

    def _size(self, low: Tensor, high: Tensor, before: Tensor) -> Tensor:
        unit = self.rtol * torch.maximum(low.abs(), before.abs())
        error = (low - high) / unit.clamp_min(self.atol)
        return error.flatten(1).double().square().mean(1).sqrt()
