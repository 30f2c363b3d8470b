"""What a solver is, the base of the simplest ones, and the rule for the last step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes import LinearSDE
from sgmkit.solvers.reverse import Reverse

Last = Literal["none", "mean"]
"""Rule after the last step of a grid; see `finish`."""


class Solver(ABC):
    """Integrates a `Reverse` down a time grid.

    Its facts are declared here; the conformance suite measures them.

    Attributes:
        order: of convergence as the steps shrink: strong for a deterministic solver, weak for a
            stochastic one.
        cost: network evaluations for each step.
        stochastic: whether it draws noise.
        adaptive: whether it chooses its own steps; it then uses the two ends of the grid alone.
        history: how many earlier steps a step builds on. The first steps of a grid have fewer, and
            are of lower order; the declared order shows after them.
        coupled: whether a sample depends on the other samples of its batch, through an error norm
            over all of them, for example.
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


class OneStepSolver(Solver):
    """A solver whose steps can be taken one at a time, as a predictor between corrections is."""

    @abstractmethod
    def moves(self, rev: Reverse, grid: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
        """The steps of ``grid``: each gives the next state, ``(B, k, *event)``, from the last."""

    def solve(self, rev: Reverse, u: Tensor, grid: Tensor) -> Tensor:
        for move in self.moves(rev, grid):
            u = move(u)
        return u


class StepSolver(OneStepSolver):
    """A one-step method; a subclass writes `step`, and nothing else.

    Attributes:
        nodes: where in a step from t (0) to s (1) coefficients of the process are needed. They are
            computed for the whole grid at once. This is for speed alone: coefficients at other
            times are computed when they are first used.
    """

    nodes: ClassVar[tuple[float, ...]] = (0.0,)

    @abstractmethod
    def step(self, rev: Reverse, u: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The state at s < t, ``(B, k, *event)``, from ``u`` at t; both times ``()``, float64."""

    @final
    def moves(self, rev: Reverse, grid: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
        start, end = grid[:-1], grid[1:]
        inner = [start + node * (end - start) for node in self.nodes if 0 < node < 1]
        rev.prepare(torch.cat([grid if 1.0 in self.nodes else start, *inner]))
        for t, s in pairwise(grid):
            yield partial(self.step, rev, t=t, s=s)


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
