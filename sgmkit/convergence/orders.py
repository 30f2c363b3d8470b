"""Measured orders of convergence, over a fixed log-SNR interval."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from sgmkit.convergence.outcomes import require
from sgmkit.convergence.probes import SilentNoise, affine_map
from sgmkit.convergence.problems import FINEST, Problem
from sgmkit.noise import SeededNoise
from sgmkit.processes import times_between
from sgmkit.solvers import Solver

SAMPLES = 16
ROUNDING = 1e-8
"""Errors below this say nothing: the reference is not better."""
DOUBT = 0.25
"""By how much a measured order may fall short of the declared one."""
TOLERANCES = (1e-3, 1e-6)
"""At which an adaptive solver's errors are measured."""
RISE = 0.03
"""By how much an order that falls short must rise for still finer steps to be tried."""


@dataclass(frozen=True)
class Order:
    """A measured order, and the errors that it is the slope of.

    Args:
        value: ``log2`` of the ratio of the last two errors; infinite where the last is rounding.
        errors: by number of steps, which double.
    """

    value: float
    errors: dict[int, float]


def measured_order(solver: Solver, problem: Problem, *, uneven: bool = False) -> Order:
    """Strong order on a problem for a deterministic solver; weak order for a stochastic one.

    The strong error is the root mean square distance to a tight reference. The weak one is the
    distance of mean and covariance from the exact ones, without Monte Carlo: the solver is
    probed as an affine map, so the problem's law must be one Gaussian in one coordinate.
    An order is what shows as steps shrink: where 64 steps fall short but rise, more decide.
    A method that builds on two or more earlier steps has an order once it is started: the first
    step is then split into ever shorter ones.

    Args:
        uneven: use grids of alternating short and long steps instead of equal ones in log-SNR.
    """
    error = weak_error if solver.stochastic else strong_error
    grid, most = (problem.uneven, FINEST // 2) if uneven else (problem.grid, FINEST)
    grid = partial(_started, problem, grid) if solver.history > 1 else grid
    errors = {n: error(solver, problem, grid(n)) for n in (32, 64)}
    steps, order, before = 64, _slope(errors[32], errors[64]), -math.inf
    while before + RISE < order < solver.order - DOUBT and steps < most:
        steps *= 2
        errors[steps] = error(solver, problem, grid(steps))
        before, order = order, _slope(errors[steps // 2], errors[steps])
    return Order(order, errors)


def _started(problem: Problem, grid: Callable[[int], Tensor], steps: int) -> Tensor:
    """The grid with its first step split: twelve times halved, in log-SNR."""
    times = grid(steps)
    shares = 0.5 ** torch.arange(12, 0, -1, dtype=times.dtype)
    between = times_between(problem.sde, "logsnr", times[0], times[1], shares)
    return torch.cat([times[:1], between, times[1:]])


def _slope(coarse: float, fine: float) -> float:
    if fine <= ROUNDING:
        return math.inf
    return math.log2(coarse / fine) if math.isfinite(coarse) else math.nan


def strong_error(solver: Solver, problem: Problem, grid: Tensor) -> float:
    """Root mean square distance to the reference solution, from the same starts."""
    start, end = reference(problem)
    rev = problem.reverse(SilentNoise(len(start)))
    return rms(solver.solve(rev, start.clone(), grid) - end)


def weak_error(solver: Solver, problem: Problem, grid: Tensor) -> float:
    """Largest error of an entry of the mean or the covariance, in units of the exact spread."""
    (mean, cov), (goal, spread) = (problem.moments(t) for t in (grid[0], grid[-1]))
    found, around = affine_map(solver, problem, grid).moments(mean[0], cov[0])
    unit = spread[0].diagonal().sqrt()
    shift = (found - goal[0]) / unit
    excess = (around - spread[0]) / (unit[:, None] * unit)
    return rms(torch.cat([shift, excess.flatten()]).abs().max())


def reference(problem: Problem) -> tuple[Tensor, Tensor]:
    """Exact starts at the coarse end of the interval and where the flow takes them.

    Classical Runge-Kutta, extrapolated from half as many steps: right to 3e-9.
    """
    if problem.flow is None:
        noise = SeededNoise(0, range(SAMPLES))
        start = problem.draw(problem.finest[0], noise)
        fine, coarse = (_runge_kutta(problem, start, n) for n in (FINEST // 2, FINEST // 4))
        problem.flow = start, fine + (fine - coarse) / 15
    return problem.flow


def _runge_kutta(problem: Problem, u: Tensor, steps: int) -> Tensor:
    grid = problem.grid(steps)
    middles = (grid[1:] + grid[:-1]) / 2
    problem.prepare(middles)
    rev = problem.reverse(SilentNoise(len(u)))
    rev.prepare(torch.cat([grid, middles]))
    for t, middle, s in zip(grid[:-1], middles, grid[1:], strict=True):
        h = s - t
        first = rev.velocity(u, t)
        second = rev.velocity(u + h / 2 * first, middle)
        third = rev.velocity(u + h / 2 * second, middle)
        last = rev.velocity(u + h * third, s)
        u = u + h / 6 * (first + 2 * second + 2 * third + last)
    return u


def rms(error: Tensor) -> float:
    """Root mean square over everything; infinite where anything is not finite."""
    value = float(error.square().mean().sqrt())
    return value if math.isfinite(value) else math.inf


def adaptive_order(solver: Solver, problem: Problem) -> tuple[list[float], float]:
    """Errors of a deterministic solver at the `TOLERANCES`; their slope against mean calls."""
    start, end = reference(problem)
    errors, calls = [], []
    for tolerance in TOLERANCES:
        rev = problem.reverse(SilentNoise(len(start)))
        found = at_tolerance(solver, tolerance).solve(rev, start.clone(), problem.grid(1))
        errors.append(rms(found - end))
        calls.append(float(rev.calls.double().mean()))
    gained, paid = errors[0] / max(errors[1], 1e-300), calls[1] / calls[0]
    return errors, math.log(gained) / math.log(paid) if paid > 1 else math.nan


def at_tolerance(solver: Solver, tolerance: float) -> Solver:
    """The solver with both tolerances set: adaptive solvers are dataclasses with rtol and atol."""
    fields = dataclasses.fields(solver) if dataclasses.is_dataclass(solver) else ()
    good = {"rtol", "atol"} <= {field.name for field in fields}
    require(good, "it is adaptive, but no dataclass with fields rtol and atol")
    return cast("Any", dataclasses.replace)(solver, rtol=tolerance, atol=tolerance)
