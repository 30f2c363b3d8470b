"""Evaluators against closed forms, brute force and SciPy; their intervals against many repeats."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel

from sgmkit import Cell, Context, Evaluator, SeededNoise
from sgmkit_evaluators import kernels, sgmkit_components, wasserstein
from sgmkit_evaluators.cost import Nfe, Seconds
from sgmkit_evaluators.kernels import EnergyDistance, Mmd
from sgmkit_evaluators.wasserstein import SlicedWasserstein

DISTANCES = [Mmd(), EnergyDistance(), SlicedWasserstein()]
distances = pytest.mark.parametrize("evaluator", DISTANCES, ids=lambda e: e.metric)
kernel_distances = pytest.mark.parametrize("evaluator", DISTANCES[:2], ids=lambda e: e.metric)


class UnitMmd(Mmd):
    """Bandwidths that do not depend on the data: s^2 = 1/4, 1/2, 1, 2, 4."""

    def scale(self, y):
        return 1.0


def normal(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def context(samples, data, nfe=None, seconds=None, seed=0):
    ran = nfe is not None or seconds is not None
    return Context(
        samples=samples,
        reference=lambda n: data[:n],
        model=None,
        dataset=None,
        noise=SeededNoise(seed, range(len(samples))),
        t_min=1e-3,
        cell=Cell(None, "none", nfe, seconds) if ran else None,
    )


def measure(evaluator, samples, data, **options):
    (value,) = evaluator.evaluate(context(samples, data, **options))
    assert [value.metric] == [m.name for m in evaluator.metrics]
    return value


def test_components_name_their_classes():
    found = {c.name: c for c in sgmkit_components()}
    ours = ("sliced-wasserstein", "mmd", "energy-distance", "nfe", "seconds")
    for component in (found[name] for name in ours):
        module, _, name = component.target.partition(":")
        target = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(target, Evaluator)
        assert component.kind == "evaluator"
        assert target.scope == "cell"
        assert target.floor == (component.name not in ("nfe", "seconds"))
        assert all(m.better == "lower" and m.ideal == 0 for m in target().metrics)


# -- values ---------------------------------------------------------------------------------------


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


def test_sliced_wasserstein_is_the_optimal_matching_on_each_line():
    x, y = normal(12, 3), 2 * normal(12, 3, seed=1)
    lines = wasserstein.directions(5, 3, SeededNoise(0, range(12)).stream("projections"))
    squared = 0.0
    for line in lines.numpy():
        cost = cdist((x.numpy() @ line)[:, None], (y.numpy() @ line)[:, None]) ** 2
        squared += cost[optimize.linear_sum_assignment(cost)].mean() / 5
    found = measure(SlicedWasserstein(projections=5), x, y).value
    assert found == pytest.approx(math.sqrt(squared), rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 4, 64, 300])
def test_sliced_wasserstein_of_a_shift(d):
    """|mu| / sqrt(d) in expectation over directions; exact where d divides their number."""
    x, shift = normal(20, d), normal(1, d, seed=5)
    found = measure(SlicedWasserstein(), x + shift, x)
    exact = float(shift.norm()) / math.sqrt(d)
    assert found.value == pytest.approx(exact, rel=1e-9 if 128 % d == 0 else 0.2)


def test_sliced_wasserstein_of_gaussians():
    """N(0, 9/4 I) against N(mu, I): each line sees (3/2 - 1)^2 + (mu . line)^2."""
    n, mu = 20000, torch.tensor([0.3, -0.4], dtype=torch.float64)
    found = measure(SlicedWasserstein(), 1.5 * normal(n, 2), normal(n, 2, seed=1) + mu)
    truth = math.sqrt(0.25 + 0.25 / 2)
    assert found.value == pytest.approx(truth, rel=0.02)
    assert found.ci_low < truth < found.ci_high


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


# -- behaviour ------------------------------------------------------------------------------------


@distances
def test_row_order_is_irrelevant(evaluator):
    x, y = normal(300, 2), 1.5 * normal(300, 2, seed=1)
    before = measure(evaluator, x, y)
    after = measure(evaluator, x.flip(0), y.roll(7, 0))
    assert after.value == pytest.approx(before.value, rel=1e-10)
    assert (after.ci_low, after.ci_high) == pytest.approx((before.ci_low, before.ci_high), rel=0.1)


@distances
def test_added_noise_makes_it_worse(evaluator):
    x, y = normal(400, 2), normal(400, 2, seed=1)
    values = [
        measure(evaluator, x + noise * normal(400, 2, seed=2), y) for noise in (0, 0.7, 1.5, 3)
    ]
    assert all(a.value < b.value for a, b in itertools.pairwise(values))
    assert values[0].ci_high < values[-1].ci_low


@distances
def test_identical_laws_are_told_apart_only_by_chance(evaluator):
    """Kernel distances reach their ideal; Wasserstein reaches another pair of equal laws."""
    value = measure(evaluator, normal(500, 3), normal(500, 3, seed=1))
    floor = measure(evaluator, normal(500, 3, seed=2), normal(500, 3, seed=3))
    target = floor.value if isinstance(evaluator, SlicedWasserstein) else evaluator.metrics[0].ideal
    assert value.ci_low < target < value.ci_high
    assert value.ci_low < value.value < value.ci_high


@distances
def test_events_are_flattened_and_numbers_made_equal(evaluator):
    x, y = normal(60, 1, 4, 4).float(), normal(45, 1, 4, 4, seed=1).float()
    value = measure(evaluator, x, y)
    flat = measure(evaluator, x[:45].reshape(45, 16).double(), y.reshape(45, 16).double())
    assert value.n == 45
    assert value == flat
    assert measure(evaluator, x[:20], y).n == 20


@distances
def test_inputs_and_global_generator_are_untouched(evaluator):
    x, y = normal(40, 2), normal(40, 2, seed=1)
    copies, state = (x.clone(), y.clone()), torch.get_rng_state()
    first = measure(evaluator, x, y)
    assert measure(evaluator, x, y) == first
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])
    assert torch.equal(state, torch.get_rng_state())


@distances
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_not_finite_are_reported(evaluator, bad):
    x, y = normal(10, 2), normal(10, 2, seed=1)
    x[3, 0] = x[3, 1] = x[7, 1] = bad
    value = measure(evaluator, x, y)
    assert math.isnan(value.value)
    assert value.reason == "2 of 10 samples are not finite"
    assert measure(evaluator, y, x).reason == "2 of 10 data are not finite"


@distances
def test_too_few_samples(evaluator):
    x, y = normal(3, 2), normal(3, 2, seed=1)
    value = measure(evaluator, x[:1], y)
    assert math.isnan(value.value)
    assert value.reason == "needs at least 2 samples"
    assert value.n == 1
    for few in (x[:2], x):
        assert math.isfinite(measure(evaluator, few, y).value)


@kernel_distances
def test_three_samples_have_no_interval(evaluator):
    value = measure(evaluator, normal(3, 2), normal(3, 2, seed=1))
    assert math.isnan(value.ci_low)
    assert math.isnan(value.ci_high)
    assert value.reason == ""


@distances
def test_coincident_points_are_no_trouble(evaluator):
    same = torch.ones(20, 2)
    mostly = same.clone()
    mostly[0] = 3.0  # the median distance is still zero
    for data in (same, mostly):
        value = measure(evaluator, normal(20, 2), data)
        assert math.isfinite(value.value)
        assert value.ci_low <= value.value <= value.ci_high
    value = measure(evaluator, same, same)
    assert (value.value, value.ci_low, value.ci_high) == (0, 0, 0)


# -- intervals ------------------------------------------------------------------------------------


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


@kernel_distances
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.25, 1.0), (1.0, 1.0), (0.0, 1.4)])
def test_kernel_intervals_cover_the_distance_of_the_laws(evaluator, shift, scale):
    """From equal laws to well separated ones; the truth by a large sample, or zero."""
    runs, m = 250, 60
    evaluator = UnitMmd() if isinstance(evaluator, Mmd) else evaluator
    x, y = scale * normal(runs, m, 2) + shift, normal(runs, m, 2, seed=1)
    found = [measure(evaluator, a, b) for a, b in zip(x, y, strict=True)]
    truth = float(np.mean([v.value for v in found])) if shift or scale != 1 else 0.0
    covered = np.mean([v.ci_low <= truth <= v.ci_high for v in found])
    assert 0.90 <= covered <= 0.985


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_sliced_intervals_cover_the_expected_value_at_their_number(shift):
    runs, m = 250, 60
    x, y = normal(runs, m, 2) + shift, normal(runs, m, 2, seed=1)
    found = [measure(SlicedWasserstein(projections=16), a, b) for a, b in zip(x, y, strict=True)]
    expected = math.sqrt(np.mean([v.value**2 for v in found]))
    covered = np.mean([v.ci_low <= expected <= v.ci_high for v in found])
    assert 0.88 <= covered <= 0.985


# -- cost -----------------------------------------------------------------------------------------


def test_nfe_is_the_counted_mean():
    calls = torch.tensor([40, 44, 52, 52])
    value = measure(Nfe(), normal(4, 2), None, nfe=calls)
    half = 1.96 * 6 / 2  # the sample standard deviation is 6
    assert (value.value, value.n) == (47, 4)
    assert (value.ci_low, value.ci_high) == pytest.approx((47 - half, 47 + half))
    fixed = measure(Nfe(), normal(4, 2), None, nfe=torch.full((4,), 50))
    assert (fixed.value, fixed.ci_low, fixed.ci_high) == (50, 50, 50)
    one = measure(Nfe(), normal(1, 2), None, nfe=torch.tensor([9]))
    assert one.value == 9
    assert math.isnan(one.ci_low)
    assert Nfe.metrics[0].unit == "calls"


def test_nfe_of_a_floor_row_has_a_reason():
    value = measure(Nfe(), normal(4, 2), None)
    assert math.isnan(value.value)
    assert value.reason == "no solver ran"


def test_seconds_are_those_of_the_cell():
    value = measure(Seconds(), normal(4, 2), None, seconds=0.25)
    assert (value.value, value.n) == (0.25, 4)
    assert math.isnan(value.ci_low)
    assert Seconds.metrics[0].unit == "s"
