"""MMD and the energy distance against closed forms, brute force and SciPy; their intervals."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel
from support.evaluator_contexts import measure, normal

from sgmkit_evaluators import kernel_distances as kernels
from sgmkit_evaluators.kernel_distances import EnergyDistance, Mmd

both = pytest.mark.parametrize("evaluator", [Mmd(), EnergyDistance()], ids=lambda e: e.metric)


class UnitMmd(Mmd):
    """Bandwidths that do not depend on the data: s^2 = 1/4, 1/2, 1, 2, 4."""

    def scale(self, y):
        return 1.0


@pytest.mark.parametrize("d", [2, 30], ids=["by differences", "by products"])
@pytest.mark.parametrize("m", [4, 300], ids=["one chunk", "two chunks"])
def test_kernel_distances_equal_brute_force(m, d):
    x, y = 1.2 * normal(m, d) + 0.1, normal(m, d, seed=1)
    pairs = m * (m - 1)
    within = 2 * (pdist(x).sum() + pdist(y).sum()) / pairs
    energy = 2 * cdist(x, y).mean() - within
    assert measure(EnergyDistance(), x, y).value == pytest.approx(energy, rel=1e-9)
    median = torch.as_tensor(pdist(y)).median()  # the lower of the two middle ones
    mmd = 0.0
    for factor in (1 / 4, 1 / 2, 1, 2, 4):
        gamma = 1 / (2 * factor * float(median) ** 2)
        same = sum(rbf_kernel(a, gamma=gamma).sum() - m for a in (x, y)) / pairs
        mmd += (same - 2 * rbf_kernel(x, y, gamma=gamma).mean()) / 5
    assert measure(Mmd(), x, y).value == pytest.approx(mmd, rel=1e-9, abs=1e-12)


def test_energy_distance_in_one_dimension_is_that_of_scipy():
    """SciPy's is the root of the biased statistic, which has the pairs of equal points as zeros."""
    x, y, m = normal(50, 1), normal(50, 1, seed=1) + 1, 50
    within = 2 * (pdist(x).sum() + pdist(y).sum()) / (m * (m - 1))
    biased = measure(EnergyDistance(), x, y).value + within / m
    assert biased == pytest.approx(stats.energy_distance(x[:, 0], y[:, 0]) ** 2, rel=1e-9)


def test_kernel_distances_are_unbiased_for_gaussians():
    """N(1/2, 1) against N(0, 1) in one dimension: closed forms of both distances."""
    runs, m, shift = 300, 30, 0.5
    x, y = normal(runs, m, 1) + shift, normal(runs, m, 1, seed=1)

    def expected_distance(mu, var):  # of |N(mu, var)|, the folded normal law
        std = math.sqrt(var)
        tail = mu * math.erf(mu / (std * math.sqrt(2)))
        return std * math.sqrt(2 / math.pi) * math.exp(-(mu**2) / (2 * var)) + tail

    energy = 2 * expected_distance(shift, 2) - 2 * expected_distance(0, 2)
    mmd = 0.0
    for s2 in (1 / 4, 1 / 2, 1, 2, 4):
        mmd += 2 / 5 * math.sqrt(s2 / (s2 + 2)) * (1 - math.exp(-(shift**2) / (2 * (s2 + 2))))
    for evaluator, truth in ((EnergyDistance(), energy), (UnitMmd(), mmd)):
        values = np.array([measure(evaluator, a, b).value for a, b in zip(x, y, strict=True)])
        error = values.std(ddof=1) / math.sqrt(runs)
        assert abs(values.mean() - truth) < 3 * error < 0.4 * truth


@both
def test_three_samples_have_no_interval(evaluator):
    value = measure(evaluator, normal(3, 2), normal(3, 2, seed=1))
    assert math.isnan(value.ci_low)
    assert math.isnan(value.ci_high)
    assert value.reason == ""


@pytest.mark.parametrize("m", [5, 600])
def test_pair_sums_equal_brute_force(m):
    """Across chunks too: 600 points make three."""
    x, y = normal(m, 2), normal(m, 2, seed=1) + 1
    sums = EnergyDistance()._pair_sums(x, y, 1.0)
    cross = -cdist(x, y)
    h = -cdist(x, x) - cdist(y, y) - cross - cross.T
    np.fill_diagonal(h, 0)
    assert sums.rows.numpy() == pytest.approx(h.sum(1))
    assert sums.squares == pytest.approx((h**2).sum())
    assert (sums.cross, sums.matched) == pytest.approx((cross.sum(), np.trace(cross)))


def test_variances_are_those_of_a_least_squares_fit():
    m = 7
    h = normal(m, m)
    h = (h + h.T).fill_diagonal_(0)
    i, j = np.triu_indices(m, 1)
    design = np.zeros((len(i), m))
    design[np.arange(len(i)), i] = design[np.arange(len(i)), j] = 1
    target = h.numpy()[i, j]
    effect, rest, _, _ = np.linalg.lstsq(design, target, rcond=None)
    effect -= target.mean() / 2
    linear, quadratic = kernels._variances(h.sum(1), float(h.square().sum()))
    assert linear == pytest.approx(4 * effect.var(ddof=1) / m)
    assert quadratic == pytest.approx(2 * rest[0] / (len(i) - m) / (m * (m - 1)))
    jackknife = [np.delete(np.delete(h.numpy(), k, 0), k, 1).sum() / 30 for k in range(m)]
    assert linear == pytest.approx((m - 1) * np.var(jackknife))


@pytest.mark.parametrize("value", [-5.0, -0.3, 0.0, 0.2, 4.0])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_score_interval_holds_the_values_it_should(value, slope):
    low, high = kernels.score_interval(value, 0.04, slope)
    theta = np.linspace(-8, 8, 160001)
    inside = (value - theta) ** 2 <= 1.96**2 * (0.04 + slope * np.maximum(theta, 0))
    assert (low, high) == pytest.approx((theta[inside].min(), theta[inside].max()), abs=2e-4)


@both
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.25, 1.0), (1.0, 1.0), (0.0, 1.4)])
def test_kernel_intervals_cover_the_distance_of_the_laws(evaluator, shift, scale):
    """From equal laws to well separated ones; the truth by a large sample, or zero."""
    runs, m = 250, 60
    evaluator = UnitMmd() if isinstance(evaluator, Mmd) else evaluator
    x, y = scale * normal(runs, m, 2) + shift, normal(runs, m, 2, seed=1)
    rows = [measure(evaluator, a, b) for a, b in zip(x, y, strict=True)]
    truth = float(np.mean([v.value for v in rows])) if shift or scale != 1 else 0.0
    covered = np.mean([v.ci_low <= truth <= v.ci_high for v in rows])
    assert 0.90 <= covered <= 0.985
