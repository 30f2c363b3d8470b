"""Curves: slopes, their standard errors, and intervals."""

import math

import pytest
import torch

from sgmkit.convergence import Curve, Point
from sgmkit.convergence.curve import jackknife, point_of_shares
from sgmkit.convergence.weak import BLOCKS


def points(errors, **more):
    return [Point(n, n, n, error, **more) for n, error in zip((8, 16, 32, 64), errors, strict=True)]


def curve_of(points, **more):
    return Curve("a", "b", "weak", 2, 1, more.pop("adaptive", False), points=points, **more)


def test_a_slope_rests_on_the_last_points_that_tell_something():
    exact = [3.0 * n**-2.0 for n in (8, 16, 32, 64)]
    assert curve_of(points(exact)).slope() == (pytest.approx(2), pytest.approx(0, abs=1e-6))
    # The first of four is not used; it is of an adaptive solver, whose steps are its own choice.
    bent = [1.0, *exact[1:]]
    assert curve_of(points(bent)).slope()[0] == pytest.approx(2)
    assert curve_of(points(bent), adaptive=True).slope()[0] > 2.3
    # Chance and rounding tell nothing.
    floored = points([*exact[:3], 1.1e-3], floor=6e-4)
    assert curve_of(floored).slope()[0] == pytest.approx(2)
    assert curve_of(points([*exact[:3], 5e-9])).slope()[0] == pytest.approx(2)
    assert math.isnan(curve_of(points([1e-9] * 4)).slope()[0])
    assert math.isnan(curve_of(points(exact)[:1]).slope()[0])
    two = curve_of(points(exact)[:2]).slope()
    assert two[0] == pytest.approx(2)
    assert math.isnan(two[1])


def test_intervals_cover_what_is_true():
    """Of the mean of normal shares around 1 the error is 1, whatever the draw, in 95 % of draws."""
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(400):
        shares = 1 + torch.empty(BLOCKS, 5, dtype=torch.float64).normal_(generator=generator)
        point = point_of_shares(8, 8, 8.0, shares)
        inside += abs(point.error - 1.0) < point.half
        assert point.floor == pytest.approx(1 / math.sqrt(BLOCKS), rel=0.6)
    assert 0.88 < inside / 400 < 0.985


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = torch.tensor([1.0, 4.0, 2.0, 8.0], dtype=torch.float64)
    leave_one_out = ((x.sum() - x) / 3).tolist()
    assert jackknife(leave_one_out) == pytest.approx(float(x.std()) / 2)
