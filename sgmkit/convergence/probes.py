"""Noise that finds out: whether a solver draws at all, and how each draw moves its answer."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sgmkit.convergence.outcomes import CheckFailed, NotApplicable, require
from sgmkit.convergence.problems import Problem
from sgmkit.noise import Noise
from sgmkit.solvers import Solver

LOUD = 0.5
"""Noise of the row that shows whether responses add up."""


class SilentNoise(Noise):
    """Noise for a solver that says it needs none: any draw fails the check."""

    def __init__(self, count: int) -> None:
        self.ids = torch.arange(count)

    def __call__(self, like: Tensor) -> Tensor:
        raise CheckFailed("it draws noise, but declares stochastic = False")

    def uniform(self, like: Tensor) -> Tensor:
        return self(like)

    def select(self, index: Tensor) -> Self:
        return type(self)(len(self.ids[index]))

    def stream(self, name: str) -> Self:
        return self


class ImpulseNoise(Noise):
    """Zeros, but for one number in each row: a solver's response to each of its draws.

    Element e of draw n is one in the row ``first + offset_n + e`` and zero in all others, whatever
    the stream, and `LOUD` everywhere in the last of the first rows. A first run with these alone,
    all of them silent, records how large draws are.

    Args:
        first: number of rows before the impulses.
        sizes: elements of one row of each draw, from the first run.
    """

    def __init__(self, first: int, sizes: tuple[int, ...] = ()) -> None:
        self.ids = torch.arange(first + sum(sizes))
        self.sizes: list[int] = []
        self._first, self._planned = first, sizes

    def __call__(self, like: Tensor) -> Tensor:
        out, size = like.new_zeros(like.shape), like[0].numel()
        if self._planned:
            number = len(self.sizes)
            same = number < len(self._planned) and self._planned[number] == size
            require(same, "how often or how much it draws depends on the batch")
            row = self._first + sum(self._planned[:number])
            out.view(len(out), -1)[row : row + size] = torch.eye(size, dtype=out.dtype)
            out[self._first - 1] = LOUD
        self.sizes.append(size)
        return out

    def uniform(self, like: Tensor) -> Tensor:
        raise NotApplicable("it draws uniform numbers: its law cannot be propagated")

    def select(self, index: Tensor) -> Self:
        raise NotApplicable("it works on parts of the batch: its law cannot be propagated")

    def stream(self, name: str) -> Self:
        return self


@dataclass(frozen=True)
class AffineMap:
    """A solver on a grid as ``u -> matrix u + sum_n responses_n z_n + shift``, z normal.

    Args:
        matrix: ``(k, k)``.
        responses: ``(k, draws)``.
        shift: ``(k,)``.
    """

    matrix: Tensor
    responses: Tensor
    shift: Tensor

    def moments(self, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``(k,)`` and covariance ``(k, k)`` of the answer, from those of the start."""
        spread = self.matrix @ cov @ self.matrix.mT + self.responses @ self.responses.mT
        return self.matrix @ mean + self.shift, spread


def affine_map(solver: Solver, problem: Problem, grid: Tensor) -> AffineMap:
    """What the solver does on Gaussian data in one coordinate, from its responses to impulses.

    Raises:
        NotApplicable: if the solver is no affine map there.
    """
    k = problem.sde.phases
    probe = torch.linspace(-2.0, 3.0, k, dtype=torch.float64)
    rows = [torch.zeros(1, k), torch.eye(k), probe[None], torch.zeros(1, k)]
    silent = torch.cat(rows).to(grid)[..., None]
    plan = ImpulseNoise(len(silent))
    solver.solve(problem.reverse(plan), silent.clone(), grid)
    noise = ImpulseNoise(len(silent), tuple(plan.sizes))
    starts = torch.cat([silent, silent[:1].expand(sum(plan.sizes), -1, -1)])
    ends = solver.solve(problem.reverse(noise), starts.clone(), grid)[..., 0]
    shift = ends[0]
    found = AffineMap((ends[1 : k + 1] - shift).mT, (ends[k + 3 :] - shift).mT, shift)
    expected = torch.stack([found.matrix @ probe, LOUD * found.responses.sum(1)]) + shift
    if not torch.allclose(ends[k + 1 : k + 3], expected, rtol=1e-7, atol=1e-7):
        raise NotApplicable("it is not an affine map where the score is linear")
    return found
