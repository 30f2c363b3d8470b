"""Exact problems: their score, moments, grids and reference solution, held against other ways."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from sgmkit import SeededNoise
from sgmkit.convergence.orders import rms
from sgmkit.convergence.probes import SilentNoise
from sgmkit.convergence.problems import (
    WIDE_INTERVAL,
    Problem,
    first_coordinate,
    gaussian,
    mixture,
    mixture_problems,
    tensor,
)
from sgmkit.convergence.reference_processes import Spread, describe, processes
from sgmkit.data import Mixture


@pytest.mark.parametrize("problem", mixture_problems(), ids=lambda p: describe(p.sde))
def test_the_exact_score_is_the_gradient_of_the_density(problem):
    """Against autograd of the mixture's density, written out for each component."""
    t = problem.grid(256)[100]
    u = problem.draw(t, SeededNoise(0, range(3))).requires_grad_()
    law, kernel, r = problem.law, problem.sde.kernel(t), problem.sde.driven
    logits = law.weights.log()
    for n in range(2):  # coordinates are independent within a component
        outer = kernel.mean[:, None] * kernel.mean
        cov = kernel.cov + law.variances[:, n, None, None] * outer
        normal = torch.distributions.MultivariateNormal(law.means[:, n, None] * kernel.mean, cov)
        logits = logits + normal.log_prob(u[:, None, :, n])
    (slope,) = torch.autograd.grad(logits.logsumexp(1).sum(), u)
    rev = problem.reverse(SilentNoise(3))
    torch.testing.assert_close(rev.score(u.detach(), t), slope[:, -r:], rtol=1e-9, atol=1e-9)
    assert problem.seen.tolist() == rev.calls.tolist() == [1, 1, 1]


def runge_kutta(problem, u, steps):
    """The classical rule on the probability flow, over the interval of the problem."""
    grid = problem.grid(steps)
    middles = (grid[1:] + grid[:-1]) / 2
    problem.prepare(middles)
    rev = problem.reverse(SilentNoise(len(u)))
    rev.prepare(torch.cat([grid, middles]))
    for (t, s), middle in zip(pairwise(grid), middles, strict=True):
        h = s - t
        first = rev.velocity(u, t)
        second = rev.velocity(u + h / 2 * first, middle)
        third = rev.velocity(u + h / 2 * second, middle)
        last = rev.velocity(u + h * third, s)
        u = u + h / 6 * (first + 2 * second + 2 * third + last)
    return u


def test_the_reference_solution_is_tight():
    """Against Runge-Kutta on 128 steps, extrapolated from 64: right to 3e-9."""
    problem = mixture_problems()[3]
    start, end = problem.flow(problem.grid(1), 4)
    fine, coarse = (runge_kutta(problem, start, steps) for steps in (128, 64))
    assert rms(fine + (fine - coarse) / 15 - end) < 1e-8


@pytest.mark.parametrize("problem", mixture_problems(), ids=lambda p: describe(p.sde))
def test_grids_have_equal_steps_in_log_snr(problem):
    times = problem.grid(6)
    levels = torch.linspace(-3, 4, 7, dtype=torch.float64)
    torch.testing.assert_close(problem.sde.kernel(times).snr.log(), levels)
    # Short and long steps alternate, 1 to 3, between the same ends.
    uneven = problem.sde.kernel(problem.uneven(6)).snr.log()
    expected = torch.tensor([1.0, 3, 1, 3, 1, 3], dtype=torch.float64) * 7 / 12
    torch.testing.assert_close(uneven.diff(), expected)
    assert torch.equal(problem.uneven(4)[[0, -1]], times[[0, -1]])


@dataclass(frozen=True)
class Short(Spread):
    """Its noise never exceeds the data by as much as the interval reaches."""

    horizon = 2.0


def test_a_process_that_reaches_less_is_measured_over_less():
    problem = Problem(Short(), mixture())
    low, high = problem.log_snr
    assert (low, high) == (pytest.approx(-math.log(4 + 1e-4)), 4.0)
    times = problem.grid(5)
    levels = torch.linspace(low, high, 6, dtype=torch.float64)
    torch.testing.assert_close(Short().kernel(times).snr.log(), levels)
    assert torch.equal(problem.grid(7)[[0, -1]], times[[0, -1]])


def test_the_wide_interval_is_cut_to_what_a_process_reaches():
    problem = Problem(Spread(), mixture(), interval=WIDE_INTERVAL)
    low, high = problem.log_snr
    assert (low, high) == (pytest.approx(-math.log(36 + 1e-4)), 6.0)
    levels = torch.linspace(low, high, 6, dtype=torch.float64)
    torch.testing.assert_close(Spread().kernel(problem.grid(5)).snr.log(), levels)


def test_equal_components_of_one_coordinate_are_joined():
    law = Mixture(tensor([0.2, 0.3, 0.5]), tensor([[1.0, 2], [1, 3], [4, 5]]), torch.ones(3, 2))
    line = first_coordinate(law)
    assert line.means.tolist() == [[1.0], [4.0]]
    assert line.weights.tolist() == pytest.approx([0.5, 0.5])


def test_moments_are_those_of_draws():
    problem = Problem(processes()[3], gaussian())
    t = problem.grid(2)[1]
    u = problem.draw(t, SeededNoise(0, range(40_000)))[..., 0]
    mean, cov = problem.moments(t)
    torch.testing.assert_close(u.mean(0), mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(torch.cov(u.mT), cov[0], rtol=0.03, atol=0.01)
