"""The sliced Wasserstein distance against optimal matchings and closed forms; its interval."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.spatial.distance import cdist
from support.evaluator_contexts import measure, normal

from sgmkit import SeededNoise
from sgmkit_evaluators import wasserstein
from sgmkit_evaluators.wasserstein import SlicedWasserstein


def test_sliced_wasserstein_is_the_optimal_matching_on_each_line():
    x, y = normal(12, 3), 2 * normal(12, 3, seed=1)
    lines = wasserstein.directions(5, 3, SeededNoise(0, range(12)).stream("projections"))
    squared = 0.0
    for line in lines.numpy():
        cost = cdist((x.numpy() @ line)[:, None], (y.numpy() @ line)[:, None]) ** 2
        squared += cost[optimize.linear_sum_assignment(cost)].mean() / 5
    distance = measure(SlicedWasserstein(projections=5), x, y).value
    assert distance == pytest.approx(math.sqrt(squared), rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 4, 64, 300])
def test_sliced_wasserstein_of_a_shift(d):
    """|mu| / sqrt(d) in expectation over directions; exact where d divides their number."""
    x, shift = normal(20, d), normal(1, d, seed=5)
    row = measure(SlicedWasserstein(), x + shift, x)
    exact = float(shift.norm()) / math.sqrt(d)
    assert row.value == pytest.approx(exact, rel=1e-9 if 128 % d == 0 else 0.2)


def test_sliced_wasserstein_of_gaussians():
    """N(0, 9/4 I) against N(mu, I): each line sees (3/2 - 1)^2 + (mu . line)^2."""
    n, mu = 20000, torch.tensor([0.3, -0.4], dtype=torch.float64)
    row = measure(SlicedWasserstein(), 1.5 * normal(n, 2), normal(n, 2, seed=1) + mu)
    truth = math.sqrt(0.25 + 0.25 / 2)
    assert row.value == pytest.approx(truth, rel=0.02)
    assert row.ci_low < truth < row.ci_high


@pytest.mark.parametrize(("count", "d"), [(128, 2), (7, 3), (3, 10), (5, 1)])
def test_directions_are_orthonormal_in_groups(count, d):
    lines = wasserstein.directions(count, d, SeededNoise(0, range(9)))
    assert lines.shape == (count, d)
    for group in lines.split(d):
        assert group @ group.T == pytest.approx(np.eye(len(group)), abs=1e-12)
    assert torch.equal(lines, wasserstein.directions(count, d, SeededNoise(0, range(2))))
    assert (
        not torch.equal(lines, wasserstein.directions(count, d, SeededNoise(1, range(9)))) or d == 1
    )


def test_directions_are_uniform():
    """A line in the plane has a uniform angle; in 5-D its squared coordinates follow Beta."""
    plane = wasserstein.directions(4000, 2, SeededNoise(2, range(1)))[::2].numpy()
    angle = np.arctan2(plane[:, 1], plane[:, 0]) % math.pi
    assert stats.kstest(angle / math.pi, "uniform").pvalue > 1e-3
    lines = wasserstein.directions(10000, 5, SeededNoise(2, range(1)))[::5].numpy()
    for axis in range(5):
        assert stats.kstest(lines[:, axis] ** 2, stats.beta(0.5, 2).cdf).pvalue > 1e-3


def test_potential_of_a_shift_is_linear():
    """T(s) = s + 2 everywhere: the integral of 2 (s - T(s)) is -4 s."""
    x = normal(1, 40).sort(dim=1).values
    expected = -4 * (x - x[:, :1])
    assert wasserstein.potential(x, x + 2).numpy() == pytest.approx(expected.numpy(), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_sliced_intervals_cover_the_expected_value_at_their_number(shift):
    runs, m = 250, 60
    x, y = normal(runs, m, 2) + shift, normal(runs, m, 2, seed=1)
    rows = [measure(SlicedWasserstein(projections=16), a, b) for a, b in zip(x, y, strict=True)]
    expected = math.sqrt(np.mean([v.value**2 for v in rows]))
    covered = np.mean([v.ci_low <= expected <= v.ci_high for v in rows])
    assert 0.88 <= covered <= 0.985
