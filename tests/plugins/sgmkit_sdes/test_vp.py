"""VP, sub-VP and the geometric variance against the formulas of the papers."""

import math

import numpy as np
import pytest
from support.moments import TIMES, check

from sgmkit_sdes.vp import VP, Geometric, SubVP


@pytest.mark.parametrize(("low", "high"), [(0.1, 20.0), (0.3, 7.0)])
def test_vp(low, high):
    beta, b = low + (high - low) * TIMES, low * TIMES + (high - low) * TIMES**2 / 2
    check(VP(low, high), TIMES, -beta / 2, beta, np.exp(-b / 2), -np.expm1(-b))
    check(
        VP(low, high, 0.2), TIMES, -beta / 2, beta, np.exp(-b / 2), -np.expm1(-b) + 0.2 * np.exp(-b)
    )
    assert VP(low, high).prior_cov().tolist() == [[1.0]]
    assert VP(low, high, 0.2).data_var() == 0.8


@pytest.mark.parametrize(("low", "high"), [(0.1, 20.0), (0.3, 7.0)])
def test_subvp(low, high):
    beta, b = low + (high - low) * TIMES, low * TIMES + (high - low) * TIMES**2 / 2
    noise = -beta * np.expm1(-2 * b)
    check(SubVP(low, high), TIMES, -beta / 2, noise, np.exp(-b / 2), np.expm1(-b) ** 2)
    assert SubVP(low, high).prior_cov().tolist() == [[1.0]]
    assert SubVP(low, high).data_var() == 1.0


@pytest.mark.parametrize("start", [None, 0.0, 5e-4])
@pytest.mark.parametrize(("low", "high"), [(3e-5, 0.999), (1e-3, 0.9)])
def test_geometric(low, high, start):
    """LSGM, appendix B, in the form whose beta has its cancellation done by hand."""
    first = low if start is None else start
    grown, rate = low * (high / low) ** TIMES, math.log(high / low)
    beta = rate * grown / (1 - first + low - grown)
    mean = np.sqrt((1 - first + low - grown) / (1 - first))
    var = low * np.expm1(TIMES * rate) + first
    check(Geometric(low, high, start), TIMES, -beta / 2, beta, mean, var, rtol=1e-11)
    assert Geometric(low, high, start).data_var() == 1 - first
    assert Geometric(low, high, start).prior_cov().tolist() == [[1.0]]
