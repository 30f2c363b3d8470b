"""Errors of one solver on one process, by the method that suits the solver."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sgmkit.convergence.curve import Curve, Point, point_of_flow, point_of_shares
from sgmkit.convergence.orders import at_tolerance, flow_errors, moment_errors
from sgmkit.convergence.outcomes import CheckFailed, NotApplicable
from sgmkit.convergence.problem_set import ProblemSet
from sgmkit.convergence.weak import BLOCKS, monte_carlo, quadrature
from sgmkit.errors import Incompatible
from sgmkit.registry.loader import reason
from sgmkit.solvers import Solver

_Steps = Sequence[tuple[int, int]]


@torch.inference_mode()
def measure(
    problems: ProblemSet,
    sde: str,
    label: str,
    solver: Solver,
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> Curve:
    """The errors of ``solver`` by budgets in network calls, or by tolerances if it is adaptive.

    A solver that does not support the process, or does not do what it declares, gives a curve
    without points, with the reason.

    Args:
        sde: name of the process.
        label: name of the solver, with its options.
    """
    kind = "weak" if solver.stochastic else "strong"
    curve = Curve(label, sde, kind, solver.order, solver.cost, solver.adaptive)
    try:
        curve.log_snr = problems.full.log_snr
        if refused := solver.supports(problems.sde):
            raise Incompatible(refused)
        _fill(problems, curve, solver, sorted(set(budgets)), sorted(set(tolerances), reverse=True))
    except (Incompatible, NotApplicable) as error:
        curve.status, curve.reason = "n/a", str(error)
    except CheckFailed as error:
        curve.status, curve.reason = "failed", str(error)
    except Exception as error:
        curve.status, curve.reason = "failed", reason(error)
    if curve.status != "ok":
        curve.points, curve.gaussian = [], []
    return curve


def _fill(
    problems: ProblemSet,
    curve: Curve,
    solver: Solver,
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> None:
    if solver.adaptive:
        _adaptive(problems, curve, solver, tolerances)
    else:
        # Two budgets may come to the same number of steps: the smaller one is measured.
        steps = {budget // solver.cost: budget for budget in reversed(budgets)}
        plan = sorted((n, budget) for n, budget in steps.items() if n)
        if not plan:
            raise Incompatible(f"a step takes {solver.cost} network calls, more than any budget")
        (_weak if solver.stochastic else _strong)(problems, curve, solver, plan)
    if not any(math.isfinite(point.error) for point in curve.points):
        raise CheckFailed("the error is not finite at any budget")


def _adaptive(
    problems: ProblemSet, curve: Curve, solver: Solver, tolerances: Sequence[float]
) -> None:
    curve.method, grid = "Monte Carlo" if solver.stochastic else "flow", problems.full.grid(1)
    for tolerance in tolerances:
        tuned = at_tolerance(solver, tolerance)
        if solver.stochastic:
            point = point_of_shares(tolerance, 1, *monte_carlo(problems, tuned, grid))
        else:
            point = _flow_point(problems, tuned, tolerance, grid)
        curve.points.append(point)


def _strong(problems: ProblemSet, curve: Curve, solver: Solver, plan: _Steps) -> None:
    curve.method = "flow"
    curve.points = [
        _flow_point(problems, solver, budget, problems.full.grid(steps)) for steps, budget in plan
    ]


def _flow_point(problems: ProblemSet, solver: Solver, budget: float, grid: Tensor) -> Point:
    """Distance in the data alone; auxiliary phases are no part of a sample."""
    nfe, error = flow_errors(solver, problems.full, grid, problems.starts)
    squares = error[:, 0].square().flatten(1).mean(1)
    return point_of_flow(budget, len(grid) - 1, nfe, squares, BLOCKS)


def _weak(problems: ProblemSet, curve: Curve, solver: Solver, plan: _Steps) -> None:
    """By quadrature if steps can be taken alone; else on Gaussian data; else by Monte Carlo."""
    grids = [(budget, steps, problems.full.grid(steps)) for steps, budget in plan]
    try:
        _require_independent_rows(solver)
        curve.gaussian = [
            _moment_point(problems, solver, budget, grid) for budget, _, grid in grids
        ]
    except (Incompatible, NotApplicable, CheckFailed) as error:
        curve.notes.append(f"not free of chance on Gaussian data: {error}")
    try:
        _require_independent_rows(solver)
        curve.method, most = "quadrature", plan[-1][0]
        for budget, steps, grid in grids:
            nfe, shares = quadrature(problems, solver, grid, max(1, most // steps))
            curve.points.append(point_of_shares(budget, steps, nfe, shares))
    except Incompatible as error:
        curve.notes.insert(0, f"no quadrature: {error}")
        curve.method = "Gaussian" if curve.gaussian else "Monte Carlo"
        curve.points = list(curve.gaussian) or [
            point_of_shares(n, k, *monte_carlo(problems, solver, grid)) for n, k, grid in grids
        ]


def _moment_point(problems: ProblemSet, solver: Solver, budget: float, grid: Tensor) -> Point:
    """The larger error of mean and variance of the data, in units of the exact spread."""
    nfe, mean, cov = moment_errors(solver, problems.normal, grid)
    return Point(budget, len(grid) - 1, nfe, max(abs(float(mean[0])), abs(float(cov[0, 0]))))


def _require_independent_rows(solver: Solver) -> None:
    """Rows of a batch stand for quadrature nodes and impulses: none may act on another."""
    if solver.coupled:
        raise Incompatible("a sample depends on its batch")


def curves(
    problem_sets: dict[str, ProblemSet],
    solvers: dict[str, Solver],
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> Iterator[Curve]:
    """Each solver on each process, by name. The reference solutions of a process are shared."""
    for sde, problems in problem_sets.items():
        for label, solver in solvers.items():
            yield measure(problems, sde, label, solver, budgets, tolerances)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: the tensors are small, and threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
