"""The Frechet distance against closed forms and other formulas; its variance and interval."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import linalg
from support.evaluator_contexts import normal

from sgmkit_features.frechet import frechet, statistics


def whitened(n, d, seed):
    """Rows whose sample mean is zero and whose sample covariance is the identity."""
    x = normal(n, d, seed=seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T


def spread(d, seed):
    """A covariance with eigenvalues over two decades, in no particular directions."""
    q = torch.linalg.qr(normal(d, d, seed=seed)).Q
    return (q * torch.logspace(-1, 1, d, dtype=torch.float64)) @ q.T


@pytest.mark.parametrize("d", [1, 3, 20])
def test_fid_of_gaussians(d):
    """Features with stated moments, against the formula with SciPy's matrix root."""
    one, two, shift = spread(d, 1), spread(d, 2), normal(1, d, seed=3)
    x = whitened(50, d, 4) @ torch.linalg.cholesky(one).T
    y = whitened(60, d, 5) @ torch.linalg.cholesky(two).T + shift
    root = linalg.sqrtm((one @ two).numpy())
    exact = float(shift.square().sum() + one.trace() + two.trace()) - 2 * np.trace(root).real
    distance = frechet(statistics(x), statistics(y))[0]
    assert distance == pytest.approx(exact, rel=1e-10)
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


def test_statistics_of_any_number_of_chunks():
    x = normal(1000, 5).float() + 3
    whole = statistics(x)
    assert torch.equal(whole.rows, x[::2])  # no more than 512 of them
    parts = statistics(x, chunk=480, rows=1000)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(parts.cov, whole.cov, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(whole.cov, torch.cov(x.double().T), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(whole.mean, x.double().mean(0), rtol=1e-14, atol=0)
    assert torch.equal(parts.rows, x)


def test_statistics_of_features_far_from_zero_and_in_order():
    """The rows that stand for all are not like all; the covariance must not see it."""
    x = (normal(3000, 4).sort(0).values + 1e5).double().float()
    x[1::2] += 50  # every row that is skipped
    moments = statistics(x)
    torch.testing.assert_close(moments.mean, x.double().mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.cov, torch.cov(x.double().T), rtol=1e-11, atol=1e-12)


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
    moments = [statistics(x), statistics(y)]
    plain = [replace(s, cov=s.cov / c) for s, c in zip(moments, scale, strict=True)]
    assert frechet(*plain)[1] == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize(
    ("n", "d", "shift", "scale"), [(100, 6, 0.0, 1.0), (100, 6, 0.3, 1.2), (30, 40, 0.2, 1.2)]
)
def test_fid_intervals_cover_the_expectation_at_their_number(n, d, shift, scale):
    runs = 200
    x, y = normal(runs, n, d), scale * normal(runs, n, d, seed=1) + shift
    distances = [frechet(statistics(a), statistics(b)) for a, b in zip(x, y, strict=True)]
    values, variances = np.array(distances).T
    covered = np.abs(values - values.mean()) < 1.96 * np.sqrt(variances)
    assert 0.90 <= covered.mean() <= 1.0
    assert 0.9 < np.sqrt(variances.mean()) / values.std() < 1.6
