"""VE and EDM against the formulas of the papers."""

import math

import numpy as np
import pytest
from support.moments import TIMES, check

from sgmkit_sdes.ve import EDM, VE


@pytest.mark.parametrize(("low", "high"), [(0.01, 50.0), (0.3, 7.0)])
def test_ve(low, high):
    sigma = low * (high / low) ** TIMES
    noise = sigma**2 * 2 * math.log(high / low)
    check(VE(low, high), TIMES, 0.0, noise, 1.0, sigma**2)
    assert float(VE(low, high).prior_cov()) == pytest.approx(high**2, rel=1e-14)
    assert VE(low, high).data_var() == 1 - low**2


def test_edm():
    t = np.array([0.002, 0.5, 3.0, 80.0])
    check(EDM(), t, 0.0, 2 * t, 1.0, t**2, rtol=1e-15)
    assert float(EDM().prior_cov()) == 6400.0
    assert EDM(sigma_max=10.0).horizon == 10.0
