"""Solvers, time grids, and what is done at the end of a grid: three separate axes."""

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.reverse import Reverse
from sgmkit.score import log_snr_rate
from sgmkit.sde import LinearSDE

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


class Grid(ABC):
    """A rule that places the times of a fixed number of steps."""

    @abstractmethod
    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        """``(steps + 1,)`` float64 times on the CPU, decreasing from the horizon to ``t_min``."""

    @final
    def __call__(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        """`times`, checked: bad numbers of steps and cut-offs are named here, for all grids."""
        if steps < 1:
            raise BadValue(f"steps must be at least 1, not {steps}")
        if not 0 < t_min < sde.horizon:
            raise BadValue(
                f"t_min must lie between 0 and the horizon {sde.horizon:g}, not {t_min:g}"
            )
        times = self.times(sde, steps, t_min)
        times[0], times[-1] = sde.horizon, t_min  # exact ends, whatever the formula rounds to
        if not bool((times.diff() < 0).all()):
            raise BadValue(
                f"{type(self).__name__}: the times of {type(sde).__name__} do not decrease; "
                "is its signal-to-noise ratio zero or not finite at the horizon?"
            )
        return times


def time_at_snr(
    sde: LinearSDE, log_snr: Tensor, t_min: float, t_max: float | None = None
) -> Tensor:
    """The times in [t_min, t_max] at which ``log |rho_t|^2`` takes the values ``log_snr (n,)``.

    Newton's method in log t within a bracket, to rounding: the SNR decreases for every linear SDE,
    ``d |rho|^2 / dt = -a_d^T W a_d`` with the likelihood weight W. ``t_max`` is the horizon unless
    given.
    """
    ends = torch.tensor([t_min, t_max or sde.horizon], dtype=torch.float64).log()
    nodes = torch.linspace(float(ends[0]), float(ends[1]), 256, dtype=torch.float64)
    table = sde.kernel(nodes.exp()).snr.log().nan_to_num(nan=-math.inf)
    place = torch.searchsorted(-table, -log_snr).clamp(1, len(nodes) - 1)
    low, high = nodes[place - 1], nodes[place]
    x = (low + high) / 2
    for _ in range(12):
        kernel = sde.kernel(x.exp())
        gap = kernel.snr.log() - log_snr
        low, high = torch.where(gap > 0, x, low), torch.where(gap > 0, high, x)  # NaN: too far
        slope = x.exp() * log_snr_rate(sde, x.exp(), kernel)
        newton = torch.minimum(torch.maximum(x - gap / slope, low), high)
        x = torch.where(newton.isnan(), (low + high) / 2, newton)
    return x.exp()


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
