"""Weak errors on a mixture, in the expectations of five functions: by quadrature or Monte Carlo."""

import math
from typing import Self

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from sgmkit.convergence.future import FUNCTIONS, Future
from sgmkit.convergence.problem_set import ProblemSet
from sgmkit.errors import Incompatible
from sgmkit.noise import Noise, SeededNoise
from sgmkit.solvers import Solver

BLOCKS = 16
"""Blocks of paths and of starts over which intervals are jackknifed."""
NODES = {1: (5, 3072), 2: (5, 512), 4: (3, 160)}
"""Quadrature nodes for each number drawn, and states a step starts from, by numbers in a step."""
PATHS = 4096
"""Paths of plain Monte Carlo."""


class StepNoise(Noise):
    """The noise of one step: all quadrature nodes from all start states, then a draw for each.

    Args:
        draws: noise of the start states; one row each.
        nodes: ``(Q, d)``, a column for each number that one row draws in a step.
        sums: how many draws are averaged, times the root of their number, to make one. Grids of
            different numbers of steps then share their noise.
    """

    recorded = True  # a solver must not merge the draws of two steps into one

    def __init__(self, draws: Noise, nodes: Tensor, sums: int = 1) -> None:
        self.draws, self.nodes, self.sums, self.used = draws, nodes, sums, 0
        self.ids = torch.arange((len(nodes) + 1) * len(draws.ids))

    def __call__(self, like: Tensor) -> Tensor:
        starts = len(self.draws.ids)
        last = like[len(like) - starts :]
        z = torch.stack([self.draws(last) for _ in range(self.sums)]).sum(0)
        z /= math.sqrt(self.sums)
        columns = slice(self.used, self.used + like[0].numel())
        self.used = columns.stop
        if len(self.nodes) and self.used > self.nodes.shape[1]:
            raise Incompatible("not every step draws as many numbers as the first")
        nodes = self.nodes[:, columns].repeat_interleave(starts, 0)
        return torch.cat([nodes.reshape(-1, *like.shape[1:]), z])

    def uniform(self, like: Tensor) -> Tensor:
        raise Incompatible("it draws uniform numbers")

    def select(self, index: Tensor) -> Self:
        raise Incompatible("it works on parts of the batch")

    def stream(self, name: str) -> Self:
        return self


def quadrature(
    problems: ProblemSet, solver: Solver, grid: Tensor, sums: int
) -> tuple[float, Tensor]:
    """Mean network evaluations; errors of the five expectations by blocks of paths, ``(16, 5)``.

    The error is the sum over steps of ``E[V(u_s, s) - V(u_t, t)]``. The noise of each step is
    integrated by Gauss-Hermite quadrature, and only the state that it starts from is drawn.

    Args:
        sums: see `StepNoise`.

    Raises:
        Incompatible: if the steps cannot be taken one by one, or draw too many numbers.
    """
    check_steps(problems, solver, grid)
    nodes, weights, starts = _nodes(problems, solver, grid)
    future, u = (
        Future(problems.sde, problems.line.law, grid),
        _starts(problems, grid, starts),
    )
    draws = SeededNoise(2, range(starts)).stream("step")
    total, calls = u.new_zeros(FUNCTIONS, starts), 0.0
    for n in range(len(grid) - 1):
        rev = problems.line.reverse(StepNoise(draws, nodes, sums))
        ends = solver.solve(rev, u.repeat(len(nodes) + 1, 1, 1), grid[n : n + 2])
        values = future(ends[:-starts], n + 1).unflatten(1, (len(nodes), starts))
        total += torch.einsum("q,fqp->fp", weights, values) - future(u, n)
        calls += float(rev.calls.double().mean())
        u = ends[-starts:]
    return calls, blocks(total)


def monte_carlo(problems: ProblemSet, solver: Solver, grid: Tensor) -> tuple[float, Tensor]:
    """As `quadrature`, from whole paths: ``f(u_end) - V(u_start)``, with all their chance."""
    future, noise = Future(problems.sde, problems.line.law, grid), SeededNoise(3, range(PATHS))
    start = _starts(problems, grid, PATHS)
    rev = problems.line.reverse(noise.stream("step"))
    end = solver.solve(rev, start.clone(), grid)
    total = future(end, len(grid) - 1) - future(start, 0)
    return float(rev.calls.double().mean()), blocks(total)


def _starts(problems: ProblemSet, grid: Tensor, count: int) -> Tensor:
    """Exact draws of the line's state at the start of the grid, ``(count, k, 1)``."""
    return problems.line.draw(grid[0], SeededNoise(1, range(count)))


def blocks(total: Tensor) -> Tensor:
    """Means over `BLOCKS` blocks of paths, ``(5, n)`` to ``(16, 5)``."""
    return total.unflatten(1, (BLOCKS, -1)).mean(2).T


class _UnmergedNoise(SeededNoise):
    """Noise of which no solver may merge the draws of two neighbouring steps into one."""

    recorded = True


def check_steps(problems: ProblemSet, solver: Solver, grid: Tensor) -> None:
    """Raise `Incompatible` unless a run on the grid is the same as its steps one by one."""
    start = u = _starts(problems, grid, 4)
    noise, again = (_UnmergedNoise(2, range(4)) for _ in range(2))
    for n in range(len(grid) - 1):
        u = solver.solve(problems.line.reverse(noise), u, grid[n : n + 2])
    whole = solver.solve(problems.line.reverse(again), start.clone(), grid)
    if not torch.allclose(u, whole, equal_nan=True):
        raise Incompatible("a step depends on the steps around it")


def _nodes(problems: ProblemSet, solver: Solver, grid: Tensor) -> tuple[Tensor, Tensor, int]:
    """Nodes ``(Q, d)`` and weights ``(Q,)`` for the d numbers of a step; number of start states."""
    probe = StepNoise(SeededNoise(2, range(1)), grid.new_empty(0, 0))
    start = grid.new_zeros(1, problems.sde.phases, 1)
    solver.solve(problems.line.reverse(probe), start, grid[:2])
    if probe.used not in NODES:
        raise Incompatible(f"none for {probe.used} numbers drawn in a step")
    count, starts = NODES[probe.used]
    line, mass = (torch.as_tensor(part) for part in hermegauss(count))
    every = torch.cartesian_prod(*[torch.arange(count)] * probe.used).view(-1, probe.used)
    return line[every], (mass / mass.sum())[every].prod(1), starts
