"""Precision and recall by hand, by brute force, and their intervals."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from support.evaluator_contexts import context, normal

from sgmkit.testing import parametrize_checks
from sgmkit.testing.reference import ReferenceExtractor
from sgmkit_features import prc


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


def test_precision_and_recall_by_hand():
    """Samples on a line at 0, 1, 2, 3 and 40; data at 2.5, 4, 5 and 6; k = 1."""
    x = torch.tensor([[0.0], [1], [2], [3], [40]])
    y = torch.tensor([[2.5], [4], [5], [6]])
    # Balls of data reach 1.5, 1, 1, 1: samples 1, 2, 3 are inside. Those of samples reach 1, 1, 1,
    # 1, 37: all data are within 37 of the sample at 40, but for 2.5, which 2 and 3 hold.
    assert prc.precision_recall(x, y, neighbours=1) == (pytest.approx(3 / 5), 1.0)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_brute_force(k):
    x, y = normal(80, 5), 1.2 * normal(100, 5, seed=1) + 0.3
    radii = [np.sort(cdist(rows, rows))[:, k] for rows in (x, y)]
    apart = cdist(x, y)
    exact = (apart <= radii[1]).any(1).mean(), (apart <= radii[0][:, None]).any(0).mean()
    assert prc.precision_recall(x, y, k, chunk=37) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (3, 20), (20, 20), (150, 300)])
def test_wilson_intervals_are_those_of_scipy(hits, count):
    theirs = stats.binomtest(hits, count).proportion_ci(method="wilson")
    low, high = prc.wilson(hits / count, count)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-5)


@pytest.mark.parametrize(("n", "m", "shift"), [(150, 150, 0.0), (150, 150, 0.5), (100, 300, 0.2)])
def test_intervals_of_precision_and_recall_cover_the_expectation(n, m, shift):
    runs = 150
    x, y = normal(runs, n, 6) + shift, normal(runs, m, 6, seed=1)
    both = np.array([prc.precision_recall(a, b, 3) for a, b in zip(x, y, strict=True)])
    for values in both.T:
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
