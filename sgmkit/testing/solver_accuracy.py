"""Checks of what a solver converges to, and how fast."""

import math

from sgmkit.convergence.orders import (
    FINEST,
    SHORTFALL,
    TOLERANCES,
    adaptive_order,
    measured_order,
    rms,
)
from sgmkit.convergence.problems import (
    Problem,
    few,
    gaussian_problems,
    mixture_problems,
    supported,
    tensor,
)
from sgmkit.convergence.reference_processes import describe
from sgmkit.data import Mixture
from sgmkit.noise import SeededNoise
from sgmkit.solvers import Solver
from sgmkit.testing.result import NotApplicable, require

FAR = 40.0
"""Where the data of `check_no_clipping` lies."""
LIMIT = 4.0
"""Standard errors that a moment may be off by."""


def check_order(solver: Solver) -> str:
    """The error falls with the steps at least as fast as declared, on every process.

    Strong order on a mixture for a deterministic solver; weak order on a Gaussian, free of
    noise, for a stochastic one: see `sgmkit.convergence.orders`.
    """
    problems = gaussian_problems() if solver.stochastic else mixture_problems()
    return _orders(solver, supported(solver, problems), uneven=False)


def check_uneven_steps(solver: Solver) -> str:
    """The order holds where short and long steps alternate: a multistep method must weigh them."""
    problems = gaussian_problems() if solver.stochastic else mixture_problems()
    return _orders(solver, few(solver, problems)[:2], uneven=True)


def _orders(solver: Solver, problems: list[Problem], uneven: bool) -> str:
    if not solver.order:
        raise NotApplicable("it declares order 0: its error does not vanish with the steps")
    measured, short = [], False
    for problem in problems:
        order = measured_order(solver, problem, uneven=uneven)
        short |= not order.value >= solver.order - SHORTFALL
        measured.append(f"{order.value:.2f} {describe(problem.sde)}")
    message = f"declared {solver.order}, measured {', '.join(measured)}"
    require(not short, message)
    return message


def check_adaptive_order(solver: Solver) -> str:
    """The error follows the tolerance, and falls with the calls at the declared order."""
    if solver.stochastic:
        raise NotApplicable("stochastic and adaptive: no reference solution to compare with")
    measured = []
    for problem in few(solver):
        errors, order = adaptive_order(solver, problem)
        for tolerance, error in zip(TOLERANCES, errors, strict=True):
            message = f"error {error:.1e} at tolerance {tolerance:g}, {describe(problem.sde)}"
            require(error < 100 * tolerance, message)
        measured.append(f"{order:.1f} {describe(problem.sde)}")
        message = f"declared {solver.order}, measured {', '.join(measured)}"
        require(order >= solver.order - 1, f"{message} (error against calls)")
    return f"declared {solver.order}, measured {', '.join(measured)} (error against calls)"


def check_moments(solver: Solver) -> str:
    """On a fine grid mean and covariance are the exact ones, within 4 standard errors."""
    worst, where = 0.0, ""
    for problem in few(solver) if solver.adaptive else supported(solver, mixture_problems()):
        off = _moments_off(solver, problem, 64)
        if off >= LIMIT and not solver.adaptive:  # is it the law, or a first-order error?
            off = _moments_off(solver, problem, FINEST)
        if off > worst:
            worst, where = off, describe(problem.sde)
    message = f"a moment is {worst:.1f} standard errors off, {where}"
    require(worst < LIMIT, message)
    return f"at most {worst:.1f} standard errors off"


def _moments_off(solver: Solver, problem: Problem, steps: int) -> float:
    """The largest error of a first or second moment, in standard errors."""
    grid, noise = problem.grid(steps), SeededNoise(1, range(1000))
    start = problem.draw(grid[0], noise)
    u = solver.solve(problem.reverse(noise.stream("step")), start, grid)
    require(bool(u.isfinite().all()), f"it is not finite, {describe(problem.sde)}")
    mean, cov = problem.moments(grid[-1])  # (N, k) and (N, k, k)
    apart = u.transpose(1, 2) - mean
    products = apart[..., :, None] * apart[..., None, :] - cov
    scores = [
        values.mean(0) / (values.std(0) / math.sqrt(len(u)))
        for values in (apart.flatten(1), products.flatten(1))
    ]
    return max(float(score.abs().max()) for score in scores)


def check_no_clipping(solver: Solver) -> str:
    """Data far from the origin is found: nothing is clipped, thresholded or renormalised."""
    law = Mixture(tensor([1.0]), tensor([[FAR, -FAR]]), tensor([[1.0, 1.0]]))
    worst = 0.0
    for usual in few(solver):
        problem = usual.of(law)
        grid, noise = problem.grid(1 if solver.adaptive else 64), SeededNoise(2, range(64))
        u = solver.solve(problem.reverse(noise.stream("step")), problem.draw(grid[0], noise), grid)
        goal, _ = problem.moments(grid[-1])
        mean = u[:, 0].mean(0)
        ratio = rms(mean / goal[:, 0] - 1)
        message = f"data at {FAR:g} is found at {float(mean[0]):.3g}, {describe(problem.sde)}"
        require(ratio < 0.2, message)
        worst = max(worst, ratio)
    return f"data at {FAR:g} found to {worst:.1%}"
