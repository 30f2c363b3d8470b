"""The row of FID: the Frechet distance of features, with the interval of its variance."""

import math

import pytest
from support.evaluator_contexts import context, normal

from sgmkit.testing.reference import ReferenceExtractor
from sgmkit_features.fid import Fid
from sgmkit_features.frechet import frechet, statistics


@pytest.mark.parametrize("n", [40, 55])
def test_a_row_is_the_distance_of_features_with_its_interval(n):
    x, y = normal(n, 2).float(), 1.5 * normal(n, 2, seed=1).float() + 1
    (row,) = Fid(ReferenceExtractor()).evaluate(context(x, y))
    features = ReferenceExtractor().features
    value, variance = frechet(statistics(features(x)), statistics(features(y)))
    assert (row.metric, row.value, row.n) == ("fid", pytest.approx(value, rel=1e-12), n)
    assert row.ci_high - row.value == pytest.approx(1.96 * math.sqrt(variance))
    assert row.value - row.ci_low == pytest.approx(1.96 * math.sqrt(variance))
