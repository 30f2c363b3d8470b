"""The inception score against torch-fidelity and by hand; its interval."""

import numpy as np
import pytest
import torch
from support.evaluator_contexts import context, normal
from torch_fidelity import metric_isc

from sgmkit import Incompatible
from sgmkit.testing import parametrize_checks
from sgmkit.testing.reference import ReferenceExtractor
from sgmkit_features import isc


@parametrize_checks(
    "evaluator",
    "isc",
    extractor=ReferenceExtractor(),
    xfail={"check_worsens": "the score knows no data: far from all of it, classes are certain"},
)
def test_inception_score_conforms(check):
    check()


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
