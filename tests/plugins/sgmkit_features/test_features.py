"""Metrics on features against closed forms, brute force and torch-fidelity; intervals, repeats."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from scipy.spatial.distance import cdist
from torch_fidelity import metric_isc, metric_kid

from sgmkit import Context, Incompatible, SeededNoise
from sgmkit.testing import parametrize_checks
from sgmkit.testing.reference import ReferenceData, ReferenceExtractor, ReferenceModel
from sgmkit_features import fid, isc, kid, prc
from sgmkit_features.frechet import frechet, statistics


def normal(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def whitened(n, d, seed):
    """Rows whose sample mean is zero and whose sample covariance is the identity."""
    x = normal(n, d, seed=seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T


def spread(d, seed):
    """A covariance with eigenvalues over two decades, in no particular directions."""
    q = torch.linalg.qr(normal(d, d, seed=seed)).Q
    return (q * torch.logspace(-1, 1, d, dtype=torch.float64)) @ q.T


def everything(n, m=None):
    return [(torch.arange(n), torch.arange(m or n))]


def context(samples, data, seed=0):
    return Context(
        samples=samples,
        reference=lambda n: data[:n],
        model=ReferenceModel(),
        dataset=ReferenceData(),
        noise=SeededNoise(seed, range(len(samples))),
        t_min=1e-3,
    )


METRICS = [fid.Fid, kid.Kid, prc.PrecisionRecall, isc.InceptionScore]
metrics = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)


# The suite --------------------------------------------------------------------------------


@parametrize_checks("evaluator", "fid", "kid", extractor=ReferenceExtractor())
def test_distances_conform(check):
    check()


@parametrize_checks(
    "evaluator",
    "prc",
    extractor=ReferenceExtractor(),
    xfail={
        "check_ideal": "recall does not fall: blurred samples lie all around the data",
        "check_worsens": "recall does not fall: blurred samples lie all around the data",
    },
)
def test_precision_and_recall_conform(check):
    check()


@parametrize_checks(
    "evaluator",
    "isc",
    extractor=ReferenceExtractor(),
    xfail={"check_worsens": "the score knows no data: far from all of it, classes are certain"},
)
def test_inception_score_conforms(check):
    check()


# FID --------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 3, 20])
def test_fid_of_gaussians(d):
    """Features with stated moments, against the formula with SciPy's matrix root."""
    one, two, shift = spread(d, 1), spread(d, 2), normal(1, d, seed=3)
    x = whitened(50, d, 4) @ torch.linalg.cholesky(one).T
    y = whitened(60, d, 5) @ torch.linalg.cholesky(two).T + shift
    root = linalg.sqrtm((one @ two).numpy())
    exact = float(shift.square().sum() + one.trace() + two.trace()) - 2 * np.trace(root).real
    found = frechet(statistics(x), statistics(y))[0]
    assert found == pytest.approx(exact, rel=1e-10)
    assert frechet(statistics(y), statistics(x))[0] == pytest.approx(exact, rel=1e-10)


def test_fid_of_a_shift_and_a_scale():
    """Of one set and its image: |shift|^2 + (scale - 1)^2 tr S, whatever the rank."""
    for n in (5, 8, 200):
        x = normal(n, 8)
        moved = 1.5 * (x - x.mean(0)) + x.mean(0) + 2
        exact = 8 * 4 + 0.25 * float(torch.cov(x.T).trace())
        assert frechet(statistics(x), statistics(moved))[0] == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("n", [2, 3, 12, 40], ids=lambda n: f"{n} samples")
def test_fid_with_fewer_samples_than_features(n):
    """Against the nuclear norm of the cross-Gram matrix, which needs no covariance."""
    x, y = normal(n, 30), 2 * normal(25, 30, seed=1) + 0.5
    a, b = ((rows - rows.mean(0)) / math.sqrt(len(rows) - 1) for rows in (x, y))
    trace = float(a.square().sum() + b.square().sum() + (x.mean(0) - y.mean(0)).square().sum())
    exact = trace - 2 * float(torch.linalg.svdvals(a @ b.T).sum())
    assert frechet(statistics(x), statistics(y))[0] == pytest.approx(exact, rel=1e-12)


def test_rounding_beyond_the_rank_is_dropped():
    """Three samples have a covariance of rank two, whatever the other eigenvalues say."""
    x, y = normal(3, 6), normal(50, 6, seed=1)
    few, many = statistics(x), statistics(y)
    exact = frechet(few, many)[0]
    rounded = replace(few, cov=few.cov + 1e-11 * torch.eye(6))
    assert frechet(rounded, many)[0] == pytest.approx(exact, abs=1e-9)
    assert frechet(many, rounded)[0] == pytest.approx(exact, abs=1e-9)


def test_fid_of_constant_features():
    x = torch.zeros(5, 3)
    assert frechet(statistics(x), statistics(x + 2)) == (12.0, 0.0)
    assert frechet(statistics(x), statistics(whitened(9, 3, 0)))[0] == pytest.approx(3.0)


def test_statistics_of_any_number_of_chunks(monkeypatch):
    x = normal(1000, 5).float() + 3
    whole = statistics(x)
    assert torch.equal(whole.rows, x[::2])  # no more than 512 of them
    monkeypatch.setattr("sgmkit_features.frechet.CHUNK", 480)
    monkeypatch.setattr("sgmkit_features.frechet.ROWS", 1000)
    parts = statistics(x)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(parts.cov, whole.cov, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(whole.cov, torch.cov(x.double().T), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(whole.mean, x.double().mean(0), rtol=1e-14, atol=0)
    assert torch.equal(parts.rows, x)


def test_statistics_of_features_far_from_zero_and_in_order():
    """The rows that stand for all are not like all; the covariance must not see it."""
    x = (normal(3000, 4).sort(0).values + 1e5).double().float()
    x[1::2] += 50  # every row that is skipped
    found = statistics(x)
    torch.testing.assert_close(found.mean, x.double().mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(found.cov, torch.cov(x.double().T), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 60, 3), (10, 60, 20), (60, 10, 20), (9, 9, 30)])
def test_variance_of_fid_is_that_of_the_derivatives(n, m, d):
    """phi by central differences in the weight of each feature, for any rank."""
    x, y = normal(n, d), 1.3 * normal(m, d, seed=1) + 0.4

    def value(x, y, weights):
        rows = []
        for features, weight in zip((x, y), weights, strict=True):
            share = weight / weight.sum()
            mean = share @ features
            rows.append((mean, (features - mean) * share.sqrt()[:, None]))
        (mean_x, a), (mean_y, b) = rows
        trace = a.square().sum() + b.square().sum() + (mean_x - mean_y).square().sum()
        return float(trace - 2 * torch.linalg.svdvals(a @ b.T).sum())

    variance, h = 0.0, 1e-4
    for side, count in ((0, n), (1, m)):
        phi = []
        for row in range(count):
            ends = []
            for step in (h, -h):
                weights = [torch.ones(n).double(), torch.ones(m).double()]
                weights[side][row] += step
                ends.append(value(x, y, weights))
            phi.append((ends[0] - ends[1]) / (2 * h) * count)
        variance += np.var(phi, ddof=1) / count
    scale = [n / (n - 1), m / (m - 1)]  # the statistics have another divisor than the weights
    found = [statistics(x), statistics(y)]
    plain = [replace(s, cov=s.cov / c) for s, c in zip(found, scale, strict=True)]
    assert frechet(*plain)[1] == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize(
    ("n", "d", "shift", "scale"), [(100, 6, 0.0, 1.0), (100, 6, 0.3, 1.2), (30, 40, 0.2, 1.2)]
)
def test_fid_intervals_cover_the_expectation_at_their_number(n, d, shift, scale):
    runs = 200
    x, y = normal(runs, n, d), scale * normal(runs, n, d, seed=1) + shift
    found = [frechet(statistics(a), statistics(b)) for a, b in zip(x, y, strict=True)]
    values, variances = np.array(found).T
    covered = np.abs(values - values.mean()) < 1.96 * np.sqrt(variances)
    assert 0.90 <= covered.mean() <= 1.0
    assert 0.9 < np.sqrt(variances.mean()) / values.std() < 1.6


# KID --------------------------------------------------------------------------------------


def test_kid_is_that_of_torch_fidelity():
    x, y, random = normal(90, 7), normal(70, 7, seed=1) + 0.2, np.random.RandomState(5)
    subsets = [
        tuple(torch.as_tensor(random.choice(n, 40, replace=False)) for n in (90, 70))
        for _ in range(12)
    ]
    theirs = metric_kid.kid_features_to_metric(
        x, y, kid_subsets=12, kid_subset_size=40, rng_seed=5, verbose=False
    )
    ours = kid.distance(x, y, subsets)[0]
    assert ours == pytest.approx(theirs[metric_kid.KEY_METRIC_KID_MEAN], rel=1e-11)


def test_kid_is_unbiased():
    """x of N(0, 1), y of N(s, 1): E (x y / d + 1)^3 by moments, in one dimension."""
    runs, n, s = 400, 12, 0.8

    def moment(a, b):  # E (x x' + 1)^3 of independent normal x, x' with means a and b
        first, second = ((1, mean, 1 + mean**2, mean**3 + 3 * mean) for mean in (a, b))
        return sum(math.comb(3, k) * first[k] * second[k] for k in range(4))

    truth = moment(0, 0) + moment(s, s) - 2 * moment(0, s)
    x, y = normal(runs, n, 1), normal(runs, n, 1, seed=1) + s
    values = [kid.distance(a, b, everything(n))[0] for a, b in zip(x, y, strict=True)]
    assert abs(np.mean(values) - truth) < 3 * np.std(values) / math.sqrt(runs) < 0.4 * truth


def test_variance_of_kid_is_that_of_the_derivatives():
    """By autograd, in the weight of each row, as a share of its subset; some rows are in both."""
    x, y = normal(20, 3), normal(24, 3, seed=1) + 0.3
    subsets = [(torch.arange(k, k + 9), torch.arange(2 * k, 2 * k + 9)) for k in (2, 6)]
    weights = [torch.ones(len(rows)).double().requires_grad_() for rows in (x, y)]
    total = torch.zeros(()).double()
    for i, j in subsets:
        shares = [w[rows] / w[rows].mean() for w, rows in zip(weights, (i, j), strict=True)]
        for rows, w in zip((x[i], y[j]), shares, strict=True):
            kernel = (rows @ rows.T / 3 + 1) ** 3 * w[:, None] * w
            total = total + (kernel.sum() - kernel.trace()) / (9 * 8)
        cross = (x[i] @ y[j].T / 3 + 1) ** 3
        total = total - 2 * (cross * shares[0][:, None] * shares[1]).mean()
    slopes = torch.autograd.grad(total / 2, weights)
    value, variance = kid.distance(x, y, subsets)
    assert value == pytest.approx(float(total.detach()) / 2, rel=1e-12)
    assert variance == pytest.approx(sum(float(s.square().sum()) for s in slopes), rel=1e-10)


@pytest.mark.parametrize("size", [60, 25], ids=["all rows", "subsets"])
@pytest.mark.parametrize("shift", [0.0, 0.2, 0.6])
def test_kid_intervals_cover_the_distance_of_the_laws(shift, size):
    runs, n, count = 200, 60, 1 if size == 60 else 10
    x, y = normal(runs, n, 4), normal(runs, n, 4, seed=1) + shift
    found = []
    for run, (a, b) in enumerate(zip(x, y, strict=True)):
        noise = SeededNoise(run, range(1))
        found.append(kid.distance(a, b, [*kid._subsets(n, n, size, count, noise)]))
    values, variances = np.array(found).T
    truth = values.mean() if shift else 0.0
    covered = np.abs(values - truth) < 1.96 * np.sqrt(variances)
    assert 0.90 <= covered.mean() <= 1.0


def test_subsets_are_drawn_without_repetition_and_by_the_noise():
    one, two, other = (
        [*kid._subsets(50, 30, 20, 6, SeededNoise(seed, range(9)).stream("kid"))]
        for seed in (0, 0, 1)
    )
    for i, j in one:
        assert (len(i.unique()), len(j.unique())) == (20, 20)
        assert int(i.max()) < 50
        assert int(j.max()) < 30
    for x, y in zip(one, two, strict=True):
        assert torch.equal(x[0], y[0])
        assert torch.equal(x[1], y[1])
    assert not any(torch.equal(x[0], y[0]) for x, y in zip(one, other, strict=True))
    assert not torch.equal(one[0][0], one[1][0])
    counts = torch.bincount(torch.cat([i for i, _ in one]), minlength=50)
    assert int(counts.max()) < 6  # not the same rows each time
    fewer = [*kid._subsets(50, 30, 20, 6, SeededNoise(0, range(3)).stream("kid"))]
    assert torch.equal(one[5][0], fewer[5][0])


def test_kid_of_few_samples_is_of_all_of_them(monkeypatch):
    x, y = normal(40, 2).float(), normal(40, 2, seed=1).float() + 0.1
    value, variance = kid.distance(x, y, everything(40))
    counts, distance = [], kid.distance
    monkeypatch.setattr(
        kid, "distance", lambda *args: counts.append(len(args[2])) or distance(*args)
    )
    (found,) = kid.Kid(ReferenceExtractor()).evaluate(context(x, y))
    assert (found.value, found.n) == (pytest.approx(value), 40)
    assert found.ci_high - found.value == pytest.approx(1.96 * math.sqrt(variance))
    (again,) = kid.Kid(ReferenceExtractor(), size=39, subsets=50).evaluate(context(x, y))
    assert counts == [1, 50]
    assert again.value != pytest.approx(value)
    assert again.value == pytest.approx(value, abs=2 * math.sqrt(variance))


# Precision and recall ---------------------------------------------------------------------


def test_precision_and_recall_by_hand():
    """Samples on a line at 0, 1, 2, 3 and 40; data at 2.5, 4, 5 and 6; k = 1."""
    x = torch.tensor([[0.0], [1], [2], [3], [40]])
    y = torch.tensor([[2.5], [4], [5], [6]])
    # Balls of data reach 1.5, 1, 1, 1: samples 1, 2, 3 are inside. Those of samples reach 1, 1, 1,
    # 1, 37: all data are within 37 of the sample at 40, but for 2.5, which 2 and 3 hold.
    assert prc.shares(x, y, neighbours=1) == (pytest.approx(3 / 5), 1.0)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_brute_force(k, monkeypatch):
    monkeypatch.setattr(prc, "CHUNK", 37)
    x, y = normal(80, 5), 1.2 * normal(100, 5, seed=1) + 0.3
    radii = [np.sort(cdist(rows, rows))[:, k] for rows in (x, y)]
    apart = cdist(x, y)
    exact = (apart <= radii[1]).any(1).mean(), (apart <= radii[0][:, None]).any(0).mean()
    assert prc.shares(x, y, k) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (3, 20), (20, 20), (150, 300)])
def test_wilson_intervals_are_those_of_scipy(hits, count):
    theirs = stats.binomtest(hits, count).proportion_ci(method="wilson")
    low, high = prc.wilson(hits / count, count)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-5)


@pytest.mark.parametrize(("n", "m", "shift"), [(150, 150, 0.0), (150, 150, 0.5), (100, 300, 0.2)])
def test_intervals_of_precision_and_recall_cover_the_expectation(n, m, shift):
    runs = 150
    x, y = normal(runs, n, 6) + shift, normal(runs, m, 6, seed=1)
    found = np.array([prc.shares(a, b, 3) for a, b in zip(x, y, strict=True)])
    for values in found.T:
        ends = np.array([prc.wilson(value, n * m / (n + m)) for value in values])
        covered = (ends[:, 0] <= values.mean()) & (values.mean() <= ends[:, 1])
        assert 0.92 <= covered.mean() <= 1.0


def test_precision_and_recall_have_their_places():
    """Samples in one of two blobs: precise, and blind to half of the data."""
    x = 0.1 * normal(60, 2).float()
    y = torch.cat([0.1 * normal(30, 2, seed=1), 0.1 * normal(30, 2, seed=2) + 5]).float()
    values = {
        v.metric: v for v in prc.PrecisionRecall(ReferenceExtractor()).evaluate(context(x, y))
    }
    assert values["precision"].value > 0.8
    assert 0.4 < values["recall"].value <= 0.5
    for value in values.values():
        assert (value.ci_low, value.ci_high) == prc.wilson(value.value, 60 * 60 / 120)


# Inception score --------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "splits"), [(100, 10), (103, 10), (50, 1)])
def test_inception_score_is_that_of_torch_fidelity(n, splits):
    logits = 3 * normal(n, 7)
    theirs = metric_isc.isc_features_to_metric(logits, splits, shuffle=False)
    mean = theirs[metric_isc.KEY_METRIC_ISC_MEAN]
    assert isc.score(logits, splits)[0] == pytest.approx(mean, rel=1e-12)


def test_inception_score_by_hand():
    """Certain of two classes, half of the samples each: 2. Uncertain always: 1."""
    certain = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]]).repeat(10, 1)
    assert isc.score(certain, 2) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-12))
    assert isc.score(torch.zeros(20, 3), 2) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))


@pytest.mark.parametrize("splits", [1, 5])
def test_inception_score_intervals_cover_the_expectation_at_their_number(splits):
    runs, n = 300, 200
    logits = 2 * normal(runs, n, 4) + torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    values, variances = np.array([isc.score(each, splits) for each in logits]).T
    covered = np.abs(values - values.mean()) < 1.96 * np.sqrt(variances)
    assert 0.91 <= covered.mean() <= 0.985


def test_inception_score_needs_classes():
    class Blind(ReferenceExtractor):
        classes = 0

    with pytest.raises(Incompatible) as caught:
        isc.InceptionScore(Blind()).evaluate(context(normal(40, 2), normal(40, 2)))
    assert str(caught.value) == "Blind tells no classes apart: choose another extractor"


# All of them ------------------------------------------------------------------------------


@metrics
def test_samples_that_are_not_finite_are_reported(metric):
    x, y = normal(30, 2), normal(30, 2, seed=1)
    x[3, 0] = x[7, 1] = math.nan
    values = list(metric(ReferenceExtractor()).evaluate(context(x, y)))
    assert [v.metric for v in values] == [m.name for m in metric.metrics]
    assert all(math.isnan(v.value) for v in values)
    assert {v.reason for v in values} == {"2 of 30 samples are not finite"}


@pytest.mark.parametrize(
    ("metric", "least"),
    [(METRICS[0], 2), (METRICS[1], 2), (METRICS[2], 4), (METRICS[3], 20)],
    ids=lambda m: getattr(m, "__name__", m),
)
def test_too_few_samples(metric, least):
    x, y = normal(least, 2), normal(least, 2, seed=1)
    for value in metric(ReferenceExtractor()).evaluate(context(x, y)):
        assert math.isfinite(value.value)
    for value in metric(ReferenceExtractor()).evaluate(context(x[1:], y)):
        assert (value.reason, value.n) == (f"needs at least {least} samples", least - 1)


@metrics
def test_data_of_another_shape_is_refused(metric):
    class Images(ReferenceExtractor):
        event = (1, 8, 8)

    with pytest.raises(Incompatible) as caught:
        list(metric(Images()).evaluate(context(normal(30, 2), normal(30, 2))))
    assert str(caught.value) == "Images takes (1, 8, 8), not (2,)"


@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda m: m.__name__)
def test_as_many_samples_as_data(metric):
    """With test data as the reference, as for the other distances."""
    x, y = normal(60, 2), normal(45, 2, seed=1)
    values = list(metric(ReferenceExtractor()).evaluate(context(x, y)))
    equal = list(metric(ReferenceExtractor()).evaluate(context(x[:45], y)))
    assert values == equal
    assert values[0].n == 45
