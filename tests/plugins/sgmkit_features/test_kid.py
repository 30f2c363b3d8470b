"""KID against torch-fidelity, moments and derivatives; its subsets and intervals."""

import math

import numpy as np
import pytest
import torch
from support.evaluator_contexts import context, normal
from torch_fidelity import metric_kid

from sgmkit import SeededNoise
from sgmkit.testing.reference import ReferenceExtractor
from sgmkit_features import kid


def everything(n, m=None):
    return [(torch.arange(n), torch.arange(m or n))]


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
    distances = []
    for run, (a, b) in enumerate(zip(x, y, strict=True)):
        noise = SeededNoise(run, range(1))
        distances.append(kid.distance(a, b, [*kid.random_subsets(n, n, size, count, noise)]))
    values, variances = np.array(distances).T
    truth = values.mean() if shift else 0.0
    covered = np.abs(values - truth) < 1.96 * np.sqrt(variances)
    assert 0.90 <= covered.mean() <= 1.0


def test_subsets_are_drawn_without_repetition_and_by_the_noise():
    one, two, other = (
        [*kid.random_subsets(50, 30, 20, 6, SeededNoise(seed, range(9)).stream("kid"))]
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
    fewer = [*kid.random_subsets(50, 30, 20, 6, SeededNoise(0, range(3)).stream("kid"))]
    assert torch.equal(one[5][0], fewer[5][0])


def test_kid_of_few_samples_is_of_all_of_them(monkeypatch):
    x, y = normal(40, 2).float(), normal(40, 2, seed=1).float() + 0.1
    value, variance = kid.distance(x, y, everything(40))
    counts, distance = [], kid.distance
    monkeypatch.setattr(
        kid, "distance", lambda *args: counts.append(len(args[2])) or distance(*args)
    )
    (row,) = kid.Kid(ReferenceExtractor()).evaluate(context(x, y))
    assert (row.value, row.n) == (pytest.approx(value), 40)
    assert row.ci_high - row.value == pytest.approx(1.96 * math.sqrt(variance))
    (again,) = kid.Kid(ReferenceExtractor(), size=39, subsets=50).evaluate(context(x, y))
    assert counts == [1, 50]
    assert again.value != pytest.approx(value)
    assert again.value == pytest.approx(value, abs=2 * math.sqrt(variance))
