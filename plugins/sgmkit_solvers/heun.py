"""Heun's method, with EDM's churn."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit import LinearSDE, Reverse, Solver
from sgmkit.processes import (
    Operator,
    flow_operators,
    operators_by_time,
    remembered,
    scaled_cholesky,
    time_at_snr,
)


@dataclass(frozen=True)
class Heun(Solver):
    """Heun on the probability flow, after raising the noise level (Karras et al. 2022, alg. 2).

    Churn works for any process: the forward SDE leads from t to the time at which the noise level
    ``sigma = 1/|rho|`` has grown by ``1 + gamma``, ``gamma = min(churn/steps, sqrt(2) - 1)``. On
    EDM this is the published algorithm. Its Euler step to zero noise is the last-step rule ``mean``
    here and no step of the grid: N steps there are N - 1 steps here, and S_churn is N/(N - 1)
    times ``churn``. As there, a churned first step starts beyond the horizon unless ``s_max``
    forbids it.

    ``alpha`` places the second network call at this share of the step and gives it the weight
    1/(2 alpha): 1/2 is the midpoint rule, 2/3 is Ralston's, and all are of second order (ibid.,
    alg. 3).
    """

    churn: Annotated[
        float, Ge(0), Doc("S_churn: noise added over the whole grid; 0 is the ODE")
    ] = 0.0
    s_min: Annotated[float, Ge(0), Doc("smallest noise level that is churned")] = 0.0
    s_max: Annotated[float, Ge(0), Doc("largest noise level that is churned")] = math.inf
    s_noise: Annotated[float, Gt(0), Doc("factor on the standard deviation of the noise")] = 1.0
    alpha: Annotated[float, Gt(0), Le(1), Doc("where in a step the second call is made")] = 1.0

    order = 2
    cost = 2
    citation = "Karras et al. 2022, alg. 2"

    @property
    def stochastic(self) -> bool:
        return self.churn > 0

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        start = self.raised(rev.sde, grid)
        jumps = self.jumps(rev.sde, grid[:-1], start) if self.churn else [None] * len(start)
        steps = _table(rev.sde, start, grid[1:], self.alpha)
        for t, high, jump, (inner, first, both) in zip(grid[:-1], start, jumps, steps, strict=True):
            if jump and high > t:
                u = jump(u, rev.noise(u))
            eps = rev.eps(u, high)
            ahead = first(u, eps)
            u = both(u, eps, ahead, rev.eps(ahead, inner))
        return u

    def raised(self, sde: LinearSDE, grid: Tensor) -> Tensor:
        """Time from which each step starts after churning, ``(steps,)``: later than t, or t."""
        t, steps = grid[:-1], len(grid) - 1
        gamma = min(self.churn / steps, math.sqrt(2) - 1)
        if gamma == 0:
            return t
        log_snr = sde.kernel(t).snr.log()
        sigma = (-0.5 * log_snr).exp()
        high = time_at_snr(sde, log_snr - 2 * math.log1p(gamma), float(grid[-1]), 2 * sde.horizon)
        return torch.where((self.s_min <= sigma) & (sigma <= self.s_max), high, t)

    def jumps(self, sde: LinearSDE, t: Tensor, high: Tensor) -> list[Operator]:
        """The forward transition from t to ``high``, as operators on u and noise."""
        mean, cov = sde.transition(t, high)
        return operators_by_time(mean, self.s_noise * scaled_cholesky(cov))


@remembered
def _table(
    sde: LinearSDE, t: Tensor, s: Tensor, alpha: float
) -> list[tuple[Tensor, Operator, Operator]]:
    """For each step: time of the second call, operator of the Euler step to it, and of the step.

    The first operator acts on u and eps, the second on u, eps, the point reached and its eps:
    ``u_s = u + h ((1 - w) v(u, t) + w v(u_inner, inner))`` with w = 1/(2 alpha).
    """
    inner = s if alpha == 1 else t + alpha * (s - t)
    h, unit = (s - t)[:, None, None], torch.eye(sde.phases, dtype=t.dtype)
    (drift, push), (later, last) = (flow_operators(sde, x, sde.kernel(x)) for x in (t, inner))
    weight = 1 / (2 * alpha)
    part, near, far = alpha * h, (1 - weight) * h, weight * h
    euler = operators_by_time(unit + part * drift, part * push)
    both = operators_by_time(unit + near * drift, near * push, far * later, far * last)
    return list(zip(inner, euler, both, strict=True))
