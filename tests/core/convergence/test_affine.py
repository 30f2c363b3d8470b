"""A solver as an affine map, against a map that is written out."""

import pytest
import torch

from sgmkit import StepSolver
from sgmkit.convergence.affine import AffineMap, affine_map
from sgmkit.convergence.outcomes import NotApplicable
from sgmkit.convergence.problems import Problem, gaussian, tensor
from sgmkit.convergence.reference_processes import Pair


class Written(StepSolver):
    """``u -> A u + B z + c`` in each step."""

    stochastic = True
    A, B, C = tensor([[0.5, 0.2], [0.1, 0.8]]), tensor([[0.0], [0.3]]), tensor([[1.0], [2.0]])

    def step(self, rev, u, t, s):
        return self.A @ u + self.B @ rev.draw(u) + self.C


class Bent(Written):
    def step(self, rev, u, t, s):
        return super().step(rev, u, t, s) + 0.1 * u.square()


def test_the_map_of_two_steps_is_composed():
    problem = Problem(Pair(), gaussian())
    answer = affine_map(Written(), problem, problem.grid(2))
    a, b, c = Written.A, Written.B, Written.C
    torch.testing.assert_close(answer.matrix, a @ a)
    torch.testing.assert_close(answer.responses, torch.cat([a @ b, b], 1))
    torch.testing.assert_close(answer.shift, (a @ c + c)[:, 0])
    assert problem.seen.sum() == 0


def test_a_solver_that_is_not_affine_is_seen():
    problem = Problem(Pair(), gaussian())
    with pytest.raises(NotApplicable, match="not an affine map"):
        affine_map(Bent(), problem, problem.grid(2))


def test_moments_go_through_the_map():
    one = AffineMap(tensor([[2.0]]), tensor([[3.0, 4.0]]), tensor([1.0]))
    mean, cov = one.moments(tensor([5.0]), tensor([[0.5]]))
    assert (mean.tolist(), cov.tolist()) == ([11.0], [[27.0]])
