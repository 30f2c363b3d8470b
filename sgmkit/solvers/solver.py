"""Solvers, time grids, and what is done at the end of a grid: three separate axes."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes import LinearSDE
from sgmkit.solvers.reverse import Reverse

Last = Literal["none", "mean"]


class Solver(ABC):
    """Integrates a `Reverse` down a time grid. Its facts are declared here and measured by tests.

    Attributes:
        order: of convergence as the steps shrink: strong for a deterministic solver, weak for a
            stochastic one.
        cost: network evaluations for each step.
        stochastic: whether it draws noise.
        adaptive: whether it chooses its own steps; it then uses the two ends of the grid only.
        history: earlier steps that a step builds on. The first ones lack them and are of lower
            order, as is usual, so that the order shows once they are few and short.
        coupled: whether a sample depends on its batch: an error norm over all of it, say.
        citation: where it was published: authors, year, equation.
    """

    order: int = 1
    cost: int = 1
    stochastic: bool = False
    adaptive: bool = False
    history: int = 0
    coupled: bool = False
    citation: ClassVar[str] = ""

    def supports(self, sde: LinearSDE) -> str | None:
        """Why this solver cannot integrate ``sde``, in a few words, or None if it can."""
        return None

    @abstractmethod
    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        """The state at ``grid[-1]``, ``(B, k, *event)``, from ``u`` at ``grid[0]``.

        Args:
            rev: the problem.
            u: the state to start from, left untouched, ``(B, k, *event)``.
            grid: decreasing times, ``(steps + 1,)``, float64 on the CPU.
        """


class StepSolver(Solver):
    """A one-step method: all there is to write is `step`.

    Attributes:
        nodes: where in a step from t (0) to s (1) coefficients are needed; those times are then
            prepared for the whole grid at once. Speed alone: a time left out is computed when met.
    """

    nodes: ClassVar[tuple[float, ...]] = (0.0,)

    @abstractmethod
    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The state at s < t from ``u`` at t; both times ``()``, float64."""

    @final
    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        start, end = grid[:-1], grid[1:]
        times = [start + place * (end - start) for place in self.nodes if 0 < place < 1]
        rev.prepare(torch.cat([grid if 1.0 in self.nodes else start, *times]))
        for t, s in pairwise(grid):
            u = self.step(rev, u, t, s)
        return u


def finish(rev: Reverse, u: Tensor, t_min: Tensor, last: Last) -> Tensor:
    """Apply the last-step rule at the end of a grid.

    ``none`` returns the state at t_min; ``mean`` goes on to t = 0 with one more network call:
    phase 0 becomes the posterior mean ``E[x | u]`` and the auxiliary phases their mean, zero.
    """
    if last == "none":
        return u
    if last == "mean":
        out = torch.zeros_like(u)
        out[:, 0] = rev.denoise(u, t_min)
        return out
    raise BadValue(f"last-step rule {last!r} is none of none, mean")
