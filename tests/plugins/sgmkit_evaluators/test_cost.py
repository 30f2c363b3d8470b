"""Counted network evaluations and seconds."""

import math

import pytest
import torch
from support.evaluator_contexts import measure, normal

from sgmkit_evaluators.cost import Nfe, Seconds


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
