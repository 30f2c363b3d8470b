"""Phase-space Langevin diffusion against its closed form."""

import math

import numpy as np
import pytest
import torch
from support.processes import f64

from sgmkit_sdes.psld import PSLD

HEAVY = PSLD(beta=5.0, m_inv=9.0, gamma_x=0.25, gamma=0.2, numerical_eps=1e-6)


@pytest.mark.parametrize("sde", [PSLD(), HEAVY])
def test_psld_closed_form(sde):
    """Pandey & Mandt's critically damped solution, and the way back to the stationary law."""
    x, nu, mass = sde.gamma_x, sde.gamma_x + 2 * math.sqrt(sde.m_inv), 1 / sde.m_inv
    stationary = np.diag([1.0, mass])
    start = np.diag([0.0, sde.gamma * mass]) + sde.numerical_eps * np.eye(2)
    for t in (0.1, 0.4, 1.0):
        b = sde.beta * t
        phi = math.exp(-(nu + x) * b / 4) * np.array(
            [[1 + (nu - x) * b / 4, (x - nu) ** 2 * b / 8], [-b / 2, 1 + (x - nu) * b / 4]]
        )
        cov = stationary + phi @ (start - stationary) @ phi.T
        kernel = sde.kernel(f64(t))
        assert np.allclose(sde.transition(f64(0.0), f64(t))[0], phi, rtol=1e-12, atol=1e-15)
        assert np.allclose(kernel.mean, phi[:, 0], rtol=1e-12, atol=1e-15)
        assert np.allclose(kernel.cov, cov, rtol=1e-12, atol=1e-15)


def test_psld_coefficients():
    """The paper's equation, entry by entry: noise in both phases, unless Gx is zero."""
    sde, t = PSLD(beta=5.0, m_inv=9.0, gamma_x=0.25), f64(0.3)
    assert np.allclose(sde.drift(t), 2.5 * np.array([[-0.25, 9.0], [-1.0, -6.25]]))
    assert np.allclose(sde.diffusion(t), 5.0 * np.diag([0.25, 6.25 / 9]))
    assert torch.equal(sde.prior_cov(), f64([[1.0, 0.0], [0.0, 1 / 9]]))
    assert (PSLD().driven, PSLD(gamma_x=0.0).driven) == (2, 1)
