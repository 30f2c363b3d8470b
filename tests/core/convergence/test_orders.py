"""Measured orders: the fit of a slope."""

import math

import numpy as np
import pytest

from sgmkit.convergence.orders import fit


def test_the_fit_is_the_usual_one():
    x, y = [1.0, 2.0, 5.0, 9.0], [4.0, 1.0, 0.3, 0.2]
    (minus, _), cov = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    value, stderr = fit(x, y)
    assert value == pytest.approx(-minus)
    assert stderr == pytest.approx(math.sqrt(cov[0, 0]))
