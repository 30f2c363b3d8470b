"""Errors of a solver that are free of chance, and the order of convergence that they show.

A deterministic solver is held against the probability flow from the same starts. A stochastic one
is held against the exact mean and covariance of Gaussian data, through which it acts as an affine
map. Errors arise over the interval of log-SNR of `problems`; `sgmkit check` and
`sgmkit bench --convergence` both use these.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from sgmkit.convergence.affine import affine_map
from sgmkit.convergence.outcomes import require
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.problems import Problem
from sgmkit.processes import times_between
from sgmkit.solvers import Solver

STARTS = 16
"""Starts of the probability flow by which `measured_order` judges a deterministic solver."""
ROUNDING = 1e-8
"""Errors below this say nothing: the reference solution is no better."""
SHORTFALL = 0.25
"""By how much a measured order may fall short of the declared one."""
RISE = 0.03
"""By how much an order that falls short must rise for still finer steps to be tried."""
FINEST = 256
"""Steps of the finest grid that `measured_order` tries."""
TOLERANCES = (1e-3, 1e-6)
"""Of an adaptive solver whose order is measured."""


@dataclass(frozen=True)
class Order:
    """A measured order, and the errors that it is the slope of.

    Args:
        value: ``log2`` of the ratio of the last two errors; infinite where the last is rounding.
        errors: by number of steps, which double.
    """

    value: float
    errors: dict[int, float]


def flow_errors(
    solver: Solver, problem: Problem, grid: Tensor, starts: int
) -> tuple[float, Tensor]:
    """Mean network evaluations, and where the solver ends less where the probability flow does.

    Args:
        starts: number of exact draws at ``grid[0]``.

    Returns:
        the errors are ``(starts, k, *event)``.
    """
    start, end = problem.flow(grid, starts)
    rev = problem.reverse(SilentNoise(starts))
    error = solver.solve(rev, start.clone(), grid) - end
    return float(rev.calls.double().mean()), error


def moment_errors(solver: Solver, problem: Problem, grid: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean network evaluations, and errors of mean and covariance in units of the exact spread.

    Args:
        problem: its law is one Gaussian in one coordinate.

    Returns:
        the errors of the mean are ``(k,)``, those of the covariance ``(k, k)``.
    """
    (mean, cov), (exact_mean, exact_cov) = (problem.moments(t) for t in (grid[0], grid[-1]))
    solved_mean, solved_cov = affine_map(solver, problem, grid).moments(mean[0], cov[0])
    unit = exact_cov[0].diagonal().sqrt()
    mean_error = (solved_mean - exact_mean[0]) / unit
    cov_error = (solved_cov - exact_cov[0]) / (unit[:, None] * unit)
    return float(problem.seen.double().mean()), mean_error, cov_error


def solver_error(solver: Solver, problem: Problem, grid: Tensor) -> float:
    """One number for all phases: strong for a deterministic solver, weak for a stochastic one.

    The strong error is the root mean square distance to the probability flow, the weak one the
    largest error of an entry of the mean or the covariance.
    """
    if not solver.stochastic:
        return rms(flow_errors(solver, problem, grid, STARTS)[1])
    _, mean, cov = moment_errors(solver, problem, grid)
    return rms(torch.cat([mean, cov.flatten()]).abs().max())


def measured_order(solver: Solver, problem: Problem, *, uneven: bool = False) -> Order:
    """Strong order on a problem for a deterministic solver; weak order for a stochastic one.

    For a stochastic solver the problem's law must be one Gaussian in one coordinate. The order is
    that of 32 and 64 steps. Where it falls short of the declared one but rises as steps shrink,
    finer grids decide. A method that builds on two or more earlier steps shows its order once it
    is started: the first step is then split into ever shorter ones.

    Args:
        uneven: use grids of alternating short and long steps instead of equal ones in log-SNR.
    """
    grid, finest = (problem.uneven, FINEST // 2) if uneven else (problem.grid, FINEST)
    grid = partial(_started, problem, grid) if solver.history > 1 else grid
    errors = {n: solver_error(solver, problem, grid(n)) for n in (32, 64)}
    steps, order, before = 64, _last_slope(errors), -math.inf
    while before + RISE < order < solver.order - SHORTFALL and steps < finest:
        steps *= 2
        errors[steps] = solver_error(solver, problem, grid(steps))
        before, order = order, _last_slope(errors)
    return Order(order, errors)


def _started(problem: Problem, grid: Callable[[int], Tensor], steps: int) -> Tensor:
    """The grid with its first step split: twelve times halved, in log-SNR."""
    times = grid(steps)
    shares = 0.5 ** torch.arange(12, 0, -1, dtype=times.dtype)
    between = times_between(problem.sde, "logsnr", times[0], times[1], shares)
    return torch.cat([times[:1], between, times[1:]])


def _last_slope(errors: dict[int, float]) -> float:
    """Order that the errors of the two finest grids show."""
    (coarse, coarse_error), (fine, fine_error) = list(errors.items())[-2:]
    if fine_error <= ROUNDING:
        return math.inf
    if not math.isfinite(coarse_error):
        return math.nan
    return fit((coarse, fine), (coarse_error, fine_error))[0]


def fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Minus the slope of log y against log x, and its standard error; NaN of too few points."""
    if len(set(x)) < 2:
        return math.nan, math.nan
    a, b = (torch.tensor(each, dtype=torch.float64).log() for each in (x, y))
    a, b = a - a.mean(), b - b.mean()
    value = (a * b).sum() / a.square().sum()
    residual = (b - value * a).square().sum() / max(len(x) - 2, 0.5)
    stderr = float((residual / a.square().sum()).sqrt()) if len(x) > 2 else math.nan
    return -float(value), stderr


def adaptive_order(solver: Solver, problem: Problem) -> tuple[list[float], float]:
    """Errors of a deterministic solver at the `TOLERANCES`; their slope against mean calls."""
    errors, calls = [], []
    for tolerance in TOLERANCES:
        tuned = at_tolerance(solver, tolerance)
        nfe, distance = flow_errors(tuned, problem, problem.grid(1), STARTS)
        errors.append(rms(distance))
        calls.append(nfe)
    if calls[1] <= calls[0]:
        return errors, math.nan
    return errors, fit(calls, [errors[0], max(errors[1], 1e-300)])[0]


def at_tolerance(solver: Solver, tolerance: float) -> Solver:
    """The solver with both tolerances set: adaptive solvers are dataclasses with rtol and atol."""
    fields = dataclasses.fields(solver) if dataclasses.is_dataclass(solver) else ()
    good = {"rtol", "atol"} <= {field.name for field in fields}
    require(good, "it is adaptive, but no dataclass with fields rtol and atol")
    return cast("Any", dataclasses.replace)(solver, rtol=tolerance, atol=tolerance)


def rms(error: Tensor) -> float:
    """Root mean square over everything; infinite where anything is not finite."""
    value = float(error.square().mean().sqrt())
    return value if math.isfinite(value) else math.inf
