"""Checks of a solver: does it converge as declared, count its calls, and leave no trace?"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sgmkit.convergence.orders import rms
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.problems import Problem, few, mixture
from sgmkit.convergence.reference_processes import describe, processes
from sgmkit.data import Mixture
from sgmkit.noise import Noise, SeededNoise
from sgmkit.solvers import Solver
from sgmkit.testing.result import Check, global_rng_untouched, require
from sgmkit.testing.solver_accuracy import (
    check_adaptive_order,
    check_moments,
    check_no_clipping,
    check_order,
    check_uneven_steps,
)


def applicable(solver: Solver) -> Iterator[Check]:
    """The checks that make sense for a solver, by its declared facts."""
    yield check_declared
    yield from (check_adaptive_order,) if solver.adaptive else (check_order, check_uneven_steps)
    if solver.stochastic:
        yield check_moments
    yield check_no_clipping
    yield check_cost
    yield check_draws
    yield check_reproducible
    yield check_coupled if solver.coupled else check_batch
    yield from (check_inputs, check_dtype)
    yield check_ends if solver.adaptive else check_grids
    yield from (check_inference_mode, check_global_rng)


def check_declared(solver: Solver) -> str:
    """order >= 0 and cost > 0; supports() gives a reason or None, and not always a reason."""
    require(solver.order >= 0, f"order is {solver.order}")
    require(solver.cost > 0, f"cost is {solver.cost}")
    for name in ("stochastic", "adaptive", "coupled"):
        value = getattr(solver, name)
        require(isinstance(value, bool), f"{name} is {value!r}, not True or False")
    refused = []
    for sde in processes():
        answer = solver.supports(sde)
        good = answer is None or (isinstance(answer, str) and bool(answer.strip()))
        require(good, f"supports() says {answer!r} to {describe(sde)}: give a reason or None")
        refused += [describe(sde)] if answer else []
    require(len(refused) < len(processes()), "supports() refuses every reference process")
    kind = "stochastic" if solver.stochastic else "deterministic"
    facts = f"{kind}, order {solver.order}, {solver.cost} calls a step"
    return facts + (f"; refuses {', '.join(refused)}" if refused else "")


def check_cost(solver: Solver) -> str:
    """The calls that Reverse counted are those the network saw, and cost times steps."""
    count = 4
    for problem in few(solver):
        for steps in (8,) if solver.adaptive else (1, 2, 8):
            noise = SeededNoise(3, range(count))
            rev = problem.reverse(noise.stream("step"))
            grid = problem.grid(steps)
            solver.solve(rev, problem.draw(grid[0], noise), grid)
            counted, seen, where = rev.calls.tolist(), problem.seen.tolist(), describe(problem.sde)
            message = f"Reverse counted {counted} calls, the network saw {seen}, {where}"
            require(counted == seen, message)
            message = f"declared {solver.cost} x {steps} steps, counted {counted} calls, {where}"
            require(solver.adaptive or counted == [solver.cost * steps] * count, message)
    if solver.adaptive:
        return "counted calls are those the network saw"
    return f"{solver.cost} calls a step, as counted by the network"


def check_draws(solver: Solver) -> str:
    """A deterministic solver draws no noise; another one gives other answers for other seeds."""
    for problem in few(solver):
        start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(4)))
        if solver.stochastic:
            one, two = (run(solver, problem, start, seed=seed) for seed in (5, 6))
            message = f"other noise gives the same answer, {describe(problem.sde)}"
            require(not torch.equal(one, two), message)
        else:
            run(solver, problem, start, noise=SilentNoise(4))
    return "draws noise" if solver.stochastic else "draws none"


def check_reproducible(solver: Solver) -> str:
    """The same noise gives the same bits, on one instance: no state is carried over."""
    for problem in few(solver):
        start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(4)))
        message = f"the same noise gives another answer, {describe(problem.sde)}"
        require(torch.equal(run(solver, problem, start), run(solver, problem, start)), message)
    return "bit for bit"


def check_batch(solver: Solver) -> str:
    """A sample does not depend on its neighbours: parts of a batch, in any order, are the same."""
    worst = 0.0
    for problem in few(solver):
        start = unlike(problem)
        whole = run(solver, problem, start)
        for part in ([5], [6, 1, 3], [7, 6, 5, 4, 3, 2, 1, 0]):
            alone = run(solver, problem, start[part], ids=part)
            worst = max(worst, rms(alone - whole[part]) / rms(whole))
            message = f"samples {part} alone differ by {worst:.1e}, {describe(problem.sde)}"
            require(worst < 1e-9, message)
    return f"to {worst:.0e}"


def check_coupled(solver: Solver) -> str:
    """A sample does depend on its batch, as declared, on some process."""
    apart = 0.0
    for problem in few(solver):
        start = unlike(problem)
        whole, alone = run(solver, problem, start), run(solver, problem, start[[5]], ids=[5])
        apart = max(apart, rms(alone - whole[[5]]) / rms(whole))
    require(apart > 1e-9, "a sample does not depend on its batch, but coupled = True says so")
    return f"alone it differs by {apart:.0e}"


def check_inputs(solver: Solver) -> str:
    """The state and the grid that it is given are left as they were."""
    for problem in few(solver):
        grid, noise = problem.grid(4), SeededNoise(4, range(4))
        start = problem.draw(grid[0], noise)
        state, times = start.clone(), grid.clone()
        solver.solve(problem.reverse(noise.stream("step")), state, times)
        require(torch.equal(state, start), "it writes to the state that it is given")
        require(torch.equal(times, grid), "it writes to the grid that it is given")
    return "untouched"


def check_dtype(solver: Solver) -> str:
    """Dtype, device and shape of the state are kept, for any event; float32 is close to float64.

    Where steps are chosen and noise is drawn, rounding may choose otherwise and meet other noise.
    """
    law, event, worst = mixture(), (3, 2, 2), 0.0
    wide = Mixture(law.weights, law.means.repeat(1, 6), law.variances.repeat(1, 6))
    for usual in few(solver):
        problem = usual.of(wide, event)
        grid = problem.grid(8)
        start = problem.draw(grid[0], SeededNoise(4, range(3)))
        ends = {}
        for dtype in (torch.float64, torch.float32):
            noise = SeededNoise(7, range(3))
            u = start.to(dtype)
            out = ends[dtype] = solver.solve(problem.reverse(noise), u, grid)
            for name in ("dtype", "device", "shape"):
                before, after = getattr(u, name), getattr(out, name)
                require(before == after, f"a state of {name} {before} ends as {after}")
        apart = rms(ends[torch.float32].double() - ends[torch.float64]) / rms(ends[torch.float64])
        worst = max(worst, apart)
        if solver.stochastic and solver.adaptive:
            require(math.isfinite(apart), "it is not finite in float32")
        else:
            require(apart < 1e-2, f"float32 differs from float64 by {apart:.1e}")
    return f"float32 to {worst:.0e}"


def check_grids(solver: Solver) -> str:
    """Every grid gives finite answers: one step, even and squeezed ones, down to t = 1e-5 T."""
    fractions = {n: torch.linspace(0, 1, n + 1, dtype=torch.float64) for n in (1, 5, 12)}
    names: list[str] = []
    for problem in few(solver):
        top, low = problem.sde.horizon, 1e-5 * problem.sde.horizon
        grids = {
            "one step": top + (low - top) * fractions[1],
            "uniform": top + (1e-3 * top - top) * fractions[12],
            "quadratic": low + (top - low) * (1 - fractions[12]).square(),
            "geometric": top * (low / top) ** fractions[5],
            "logsnr": problem.grid(8),
        }
        names = list(grids)
        for name, grid in grids.items():
            noise = SeededNoise(8, range(4))
            start = problem.draw(grid[0], noise)
            u = solver.solve(problem.reverse(noise.stream("step")), start, grid)
            good = bool(u.isfinite().all())
            require(good, f"it is not finite on the grid {name}, {describe(problem.sde)}")
    return ", ".join(names)


def check_ends(solver: Solver) -> str:
    """An adaptive solver looks at the two ends of the grid only."""
    for problem in few(solver):
        start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(4)))
        ends = solver.solve(problem.reverse(SeededNoise(5, range(4))), start, problem.grid(1))
        message = f"it is adaptive, but the times inside the grid matter, {describe(problem.sde)}"
        require(torch.equal(ends, run(solver, problem, start)), message)
    return "only the ends matter"


def check_inference_mode(solver: Solver) -> str:
    """It works inside ``torch.inference_mode``, and gives the same there."""
    problem = few(solver)[-1]
    start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(4)))
    outside = run(solver, problem, start)
    with torch.inference_mode():
        inside = run(solver, problem, start)
    require(torch.equal(outside, inside.clone()), "it gives another answer in inference mode")
    return "the same"


def check_global_rng(solver: Solver) -> str:
    """No global random generator is drawn from or seeded."""
    for problem in few(solver):
        start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(4)))
        with global_rng_untouched():
            run(solver, problem, start)
    return "untouched"


def unlike(problem: Problem) -> Tensor:
    """Eight starts of unlike sizes: a normalisation over the batch or shared steps would show."""
    start = problem.draw(problem.grid(8)[0], SeededNoise(4, range(8)))
    return start * torch.linspace(0.5, 2.0, 8, dtype=start.dtype)[:, None, None]


def run(
    solver: Solver,
    problem: Problem,
    start: Tensor,
    *,
    ids: Sequence[int] = (),
    seed: int = 5,
    noise: Noise | None = None,
) -> Tensor:
    """Where the solver ends from ``start`` on eight steps."""
    noise = noise or SeededNoise(seed, ids or range(len(start)))
    return solver.solve(problem.reverse(noise), start.clone(), problem.grid(8))
