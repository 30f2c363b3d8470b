"""Higher-order Langevin dynamics against the coefficients of the paper."""

import math

import numpy as np
import pytest
import torch
from support.processes import f64

from sgmkit_sdes.hold import HOLD


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_hold_is_critically_damped(order):
    """One eigenvalue, ``(A - lam I)^n = 0``, so that the exponential is a polynomial's."""
    sde, lam = HOLD(order=order), -math.sqrt(2 * order - 3)
    rest = np.array(sde.drift_matrix) - lam * np.eye(order)
    grain = 1e-15 * np.linalg.norm(rest, 1) ** order
    assert np.abs(np.linalg.matrix_power(rest, order)).max() < grain
    assert np.abs(np.linalg.matrix_power(rest, order - 1)).max() > 0.5
    tau = sde.beta * 0.3
    powers = [np.linalg.matrix_power(rest, k) * tau**k / math.factorial(k) for k in range(order)]
    phi = math.exp(lam * tau) * sum(powers)
    assert np.allclose(sde.transition(f64(0.0), f64(0.3))[0], phi, rtol=1e-11, atol=1e-13)


def test_hold_of_order_three_is_the_papers():
    root = math.sqrt(8)
    want = [[0.0, 1.0, 0.0], [-1.0, 0.0, root], [0.0, -root, -3 * math.sqrt(3)]]
    assert np.allclose(HOLD().drift_matrix, want, rtol=1e-15, atol=0)
    assert np.allclose(HOLD().noise_matrix, np.diag([0.0, 0.0, 6 * math.sqrt(3)]), rtol=1e-15)


def test_hold_scales_with_its_stationary_variance():
    """All that is random is in units of 1/L; what the data does is not."""
    unit, wide = HOLD(numerical_eps=0.0), HOLD(l_inv=4.0, numerical_eps=0.0)
    times = f64([0.01, 0.2, 1.0])
    torch.testing.assert_close(wide.kernel(times).mean, unit.kernel(times).mean)
    torch.testing.assert_close(wide.kernel(times).chol, 2 * unit.kernel(times).chol)
    assert torch.equal(wide.prior_cov(), 4 * torch.eye(3, dtype=torch.float64))
