"""Errors of one solver on one process, by the method that suits it; nothing fails silently."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sgmkit.convergence.curve import Curve, Point, point_of_flow, point_of_shares
from sgmkit.convergence.orders import at_tolerance
from sgmkit.convergence.outcomes import CheckFailed, NotApplicable
from sgmkit.convergence.process import Process
from sgmkit.convergence.weak import BLOCKS, chance, quadrature
from sgmkit.errors import Incompatible
from sgmkit.registry.loader import reason
from sgmkit.solvers import Solver

_Steps = Sequence[tuple[int, int]]


@torch.inference_mode()
def measure(
    process: Process,
    sde: str,
    label: str,
    solver: Solver,
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> Curve:
    """The errors of ``solver`` by budgets in network calls, or by tolerances if it is adaptive.

    What it cannot do is a curve without points, with the reason; so is what it does wrong.
    """
    kind = "weak" if solver.stochastic else "strong"
    curve = Curve(label, sde, kind, solver.order, solver.cost, solver.adaptive)
    try:
        curve.log_snr = process.log_snr
        if refused := solver.supports(process.sde):
            raise Incompatible(refused)
        _fill(process, curve, solver, sorted(set(budgets)), sorted(set(tolerances), reverse=True))
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
    process: Process,
    curve: Curve,
    solver: Solver,
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> None:
    if solver.adaptive:
        _adaptive(process, curve, solver, tolerances)
    else:
        # Two budgets may come to the same steps: the first is measured.
        steps = {budget // solver.cost: budget for budget in reversed(budgets)}
        plan = sorted((n, budget) for n, budget in steps.items() if n)
        if not plan:
            raise Incompatible(f"a step takes {solver.cost} network calls, more than any budget")
        (_weak if solver.stochastic else _strong)(process, curve, solver, plan)
    if not any(torch.isfinite(torch.tensor([point.error for point in curve.points]))):
        raise CheckFailed("the error is not finite at any budget")


def _adaptive(process: Process, curve: Curve, solver: Solver, tolerances: Sequence[float]) -> None:
    curve.method, grid = "Monte Carlo" if solver.stochastic else "flow", process.grid(1)
    for tolerance in tolerances:
        tuned = at_tolerance(solver, tolerance)
        if solver.stochastic:
            point = point_of_shares(tolerance, 1, *chance(process, tuned, grid))
        else:
            point = point_of_flow(tolerance, 1, *process.strong(tuned, grid), BLOCKS)
        curve.points.append(point)


def _strong(process: Process, curve: Curve, solver: Solver, plan: _Steps) -> None:
    curve.method = "flow"
    for steps, budget in plan:
        found = process.strong(solver, process.grid(steps))
        curve.points.append(point_of_flow(budget, steps, *found, BLOCKS))


def _weak(process: Process, curve: Curve, solver: Solver, plan: _Steps) -> None:
    """By quadrature where a step can be looked at alone; else on Gaussian data; else by chance."""
    grids = [(budget, steps, process.grid(steps)) for steps, budget in plan]
    try:
        _alone(solver)
        curve.gaussian = [Point(n, k, *process.gaussian(solver, grid)) for n, k, grid in grids]
    except (Incompatible, NotApplicable, CheckFailed) as error:
        curve.notes.append(f"not free of chance on Gaussian data: {error}")
    try:
        _alone(solver)
        curve.method, most = "quadrature", plan[-1][0]
        for budget, steps, grid in grids:
            found = quadrature(process, solver, grid, max(1, most // steps))
            curve.points.append(point_of_shares(budget, steps, *found))
    except Incompatible as error:
        curve.notes.insert(0, f"no quadrature: {error}")
        curve.method = "Gaussian" if curve.gaussian else "Monte Carlo"
        curve.points = list(curve.gaussian) or [
            point_of_shares(n, k, *chance(process, solver, grid)) for n, k, grid in grids
        ]


def _alone(solver: Solver) -> None:
    """Rows of a batch stand for nodes and impulses: they must not be of weight to each other."""
    if solver.coupled:
        raise Incompatible("a sample depends on its batch")


def curves(
    processes: dict[str, Process],
    solvers: dict[str, Solver],
    budgets: Sequence[int],
    tolerances: Sequence[float],
) -> Iterator[Curve]:
    """Each solver on each process, by name; process by process, whose reference is dear."""
    for sde, process in processes.items():
        for label, solver in solvers.items():
            yield measure(process, sde, label, solver, budgets, tolerances)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: the tensors are small, and threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
