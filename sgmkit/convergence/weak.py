"""Weak errors on a mixture: of the expectations of five functions, step by step or by chance."""

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
"""Of paths and of starts: intervals are jackknifed over them."""
NODES = {1: (5, 3072), 2: (5, 512), 4: (3, 160)}
"""By numbers drawn in a step: quadrature nodes for each, and places that a step starts from."""
PATHS = 4096
"""Of plain Monte Carlo."""


class StepNoise(Noise):
    """The noise of one step: every quadrature node from every place, then one draw for each place.

    Args:
        draws: of the places; one row each.
        nodes: ``(Q, d)``, a column for each number that one row draws in a step.
        sums: how many draws are added up, over the root of their number, to make one: runs of
            different numbers of steps then share their noise.
    """

    recorded = True  # as in `check_steps`

    def __init__(self, draws: Noise, nodes: Tensor, sums: int = 1) -> None:
        self.draws, self.nodes, self.sums, self.used = draws, nodes, sums, 0
        self.ids = torch.arange((len(nodes) + 1) * len(draws.ids))

    def __call__(self, like: Tensor) -> Tensor:
        places = len(self.draws.ids)
        last = like[len(like) - places :]
        drawn = torch.stack([self.draws(last) for _ in range(self.sums)]).sum(0)
        drawn /= math.sqrt(self.sums)
        columns = slice(self.used, self.used + like[0].numel())
        self.used = columns.stop
        if len(self.nodes) and self.used > self.nodes.shape[1]:
            raise Incompatible("not every step draws as many numbers as the first")
        nodes = self.nodes[:, columns].repeat_interleave(places, 0)
        return torch.cat([nodes.reshape(-1, *like.shape[1:]), drawn])

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

    The error is the sum over steps of ``E[V(u_s, s) - V(u_t, t)]``: the noise of each step is
    integrated over ``nodes``, and only the place that it starts from is drawn.

    Raises:
        Incompatible: where the steps cannot be looked at one by one, or draw too many numbers.
    """
    check_steps(problems, solver, grid)
    nodes, weights, places = _nodes(problems, solver, grid)
    future, u = (
        Future(problems.sde, problems.line.law, grid),
        _starts(problems, grid, places),
    )
    draws = SeededNoise(2, range(places)).stream("step")
    total, calls = u.new_zeros(FUNCTIONS, places), 0.0
    for n in range(len(grid) - 1):
        rev = problems.line.reverse(StepNoise(draws, nodes, sums))
        ends = solver.solve(rev, u.repeat(len(nodes) + 1, 1, 1), grid[n : n + 2])
        values = future(ends[:-places], n + 1).unflatten(1, (len(nodes), places))
        total += torch.einsum("q,fqp->fp", weights, values) - future(u, n)
        calls += float(rev.calls.double().mean())
        u = ends[-places:]
    return calls, blocks(total)


def chance(problems: ProblemSet, solver: Solver, grid: Tensor) -> tuple[float, Tensor]:
    """As `quadrature`, of whole paths: ``f(u) - V(u_start)``, with all the chance of the noise."""
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
    """Means over `BLOCKS` blocks of what each path says, ``(5, n)`` -> ``(16, 5)``."""
    return total.unflatten(1, (BLOCKS, -1)).mean(2).T


class _Apart(SeededNoise):
    """Noise of which no solver draws the sum of two neighbouring steps at once."""

    recorded = True


def check_steps(problems: ProblemSet, solver: Solver, grid: Tensor) -> None:
    """A run must be its steps one after the other, or they cannot be looked at one by one."""
    start = u = _starts(problems, grid, 4)
    noise, again = (_Apart(2, range(4)) for _ in range(2))
    for n in range(len(grid) - 1):
        u = solver.solve(problems.line.reverse(noise), u, grid[n : n + 2])
    whole = solver.solve(problems.line.reverse(again), start.clone(), grid)
    if not torch.allclose(u, whole, equal_nan=True):
        raise Incompatible("a step depends on the steps around it")


def _nodes(problems: ProblemSet, solver: Solver, grid: Tensor) -> tuple[Tensor, Tensor, int]:
    """Nodes ``(Q, d)`` and weights ``(Q,)`` for the d numbers of a step; how many places."""
    probe = StepNoise(SeededNoise(2, range(1)), grid.new_empty(0, 0))
    start = grid.new_zeros(1, problems.sde.phases, 1)
    solver.solve(problems.line.reverse(probe), start, grid[:2])
    if probe.used not in NODES:
        raise Incompatible(f"none for {probe.used} numbers drawn in a step")
    count, places = NODES[probe.used]
    line, mass = (torch.as_tensor(part) for part in hermegauss(count))
    every = torch.cartesian_prod(*[torch.arange(count)] * probe.used).view(-1, probe.used)
    return line[every], (mass / mass.sum())[every].prod(1), places
