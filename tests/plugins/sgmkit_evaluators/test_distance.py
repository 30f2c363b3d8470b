"""What all distances between samples and data have in common."""

import itertools
import math

import pytest
import torch
from support.evaluator_contexts import measure, normal

from sgmkit import Evaluator
from sgmkit_evaluators import sgmkit_components
from sgmkit_evaluators.kernel_distances import EnergyDistance, Mmd
from sgmkit_evaluators.wasserstein import SlicedWasserstein

DISTANCES = [Mmd(), EnergyDistance(), SlicedWasserstein()]


distances = pytest.mark.parametrize("evaluator", DISTANCES, ids=lambda e: e.metric)


def test_components_name_their_classes():
    offered = {c.name: c for c in sgmkit_components()}
    ours = ("sliced-wasserstein", "mmd", "energy-distance", "nfe", "seconds")
    for component in (offered[name] for name in ours):
        module, _, name = component.target.partition(":")
        target = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(target, Evaluator)
        assert component.kind == "evaluator"
        assert target.scope == "cell"
        assert target.floor == (component.name not in ("nfe", "seconds"))
        assert all(m.better == "lower" and m.ideal == 0 for m in target().metrics)


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
def test_identical_laws_differ_only_by_chance(evaluator):
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
