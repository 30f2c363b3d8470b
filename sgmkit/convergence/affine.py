"""A solver on Gaussian data as an affine map: its mean and covariance without Monte Carlo."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit.convergence.outcomes import NotApplicable
from sgmkit.convergence.probes import LOUD, ImpulseNoise
from sgmkit.convergence.problems import Problem
from sgmkit.solvers import Solver


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

    There the score is linear, so the solver's answer is affine in the start and in its draws.

    Args:
        problem: its law is one Gaussian in one coordinate.

    Raises:
        NotApplicable: if the solver is no affine map there.
    """
    # Rows: zero, a unit for each phase, a probe and a loud row that show whether effects add up,
    # and then one for each number drawn.
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
    answer = AffineMap((ends[1 : k + 1] - shift).mT, (ends[k + 3 :] - shift).mT, shift)
    expected = torch.stack([answer.matrix @ probe, LOUD * answer.responses.sum(1)]) + shift
    if not torch.allclose(ends[k + 1 : k + 3], expected, rtol=1e-7, atol=1e-7):
        raise NotApplicable("it is not an affine map where the score is linear")
    return answer
