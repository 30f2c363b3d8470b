"""What all metrics on features have in common: shared features, references, refusals."""

import math

import pytest
import torch
from support.evaluator_contexts import context, normal
from support.features import Counting, Items, cell_context, points

from sgmkit import Incompatible
from sgmkit.testing import parametrize_checks
from sgmkit.testing.reference import ReferenceData, ReferenceExtractor
from sgmkit_features import fid, isc, kid, prc
from sgmkit_features.bank import Bank, Images
from sgmkit_features.fid import Fid
from sgmkit_features.frechet import frechet
from sgmkit_features.kid import Kid

METRICS = [fid.Fid, kid.Kid, prc.PrecisionRecall, isc.InceptionScore]


metrics = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)


@parametrize_checks("evaluator", "fid", "kid", extractor=ReferenceExtractor())
def test_distances_conform(check):
    check()


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
    assert str(caught.value) == (
        "Images takes images of shape (1, 8, 8), not (2,): "
        "choose an extractor for this shape with extractor=NAME"
    )


@pytest.mark.parametrize("metric", METRICS[:3], ids=lambda m: m.__name__)
def test_as_many_samples_as_data(metric):
    """With test data as the reference, as for the other distances."""
    x, y = normal(60, 2), normal(45, 2, seed=1)
    values = list(metric(ReferenceExtractor()).evaluate(context(x, y)))
    equal = list(metric(ReferenceExtractor()).evaluate(context(x[:45], y)))
    assert values == equal
    assert values[0].n == 45


# Training data as the reference -----------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SGMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_evaluators_of_a_cell_share_features(folder):
    extractor, dataset = Counting(), ReferenceData()
    ctx = cell_context(points(40), dataset)
    for evaluator in (Fid(extractor), Kid(extractor), Fid(extractor), Kid(extractor, size=10)):
        list(evaluator.evaluate(ctx))
    assert extractor.rows == 40 + 40


def test_training_items_are_read_in_pieces(folder):
    extractor, dataset, memo = Counting(), Items(), {}
    samples = points(30)
    (row,) = Fid(extractor, "train").evaluate(cell_context(samples, dataset, memo))
    assert dataset.read == 2 * [512, 512, 176]  # what they are, then their features
    assert (row.n, extractor.rows) == (30, 30 + 1200)
    x = Items().pick("train", torch.arange(1200)).x
    bank = Bank(Counting("two"), torch.device("cpu"), {})
    plain = bank.statistics(Images.of(x, "test"))
    mine = bank.statistics(Images.of(samples, "samples"))
    assert row.value == pytest.approx(frechet(mine, plain)[0], rel=1e-12)
    list(Fid(extractor, "train").evaluate(cell_context(samples + 1, dataset, memo)))
    assert len(dataset.read) == 6  # a cell of the same seed
    list(Fid(extractor, "train").evaluate(cell_context(samples, dataset)))
    assert dataset.read[6:] == [512, 512, 176]  # of another: known by their content
    assert extractor.rows == 30 + 1200 + 30


def test_the_floor_of_training_data_is_test_data(folder):
    """What a floor row is given is training data, which the reference holds."""
    dataset = Items(100)
    train = dataset.pick("train", torch.arange(50)).x
    (floor,) = Fid(Counting(), "train").evaluate(cell_context(train, dataset, cell=None))
    test = dataset.pick("test", torch.arange(50)).x
    (cell,) = Fid(Counting(), "train").evaluate(cell_context(test, dataset))
    assert floor == cell
    assert floor.value > 1  # the test items lie apart


def test_training_data_without_items_is_refused(folder):
    with pytest.raises(Incompatible) as caught:
        list(Fid(Counting(), "train").evaluate(cell_context(points(9), ReferenceData())))
    assert str(caught.value) == (
        "ReferenceData has no training items, only fresh draws: use reference=test"
    )
