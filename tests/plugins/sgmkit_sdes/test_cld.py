"""Critically-damped Langevin diffusion against its closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gammainc
from support.moments import (
    TIMES,
)
from support.processes import (
    f64,
)

from sgmkit_sdes.cld import CLD


@pytest.mark.parametrize("sde", [CLD(), CLD(0.5, 7.0, 16.0, 0.25, 1e-6)])
def test_cld_coefficients(sde):
    for t in TIMES:
        beta, mass = sde.beta_0 + sde.beta_1 * t, 1 / sde.m_inv
        friction = 2 * math.sqrt(mass)
        drift = beta * np.array([[0, 1 / mass], [-1, -friction / mass]])
        assert np.allclose(sde.drift(f64(t)), drift, rtol=1e-14)
        assert np.allclose(sde.diffusion(f64(t)), [[0, 0], [0, 2 * friction * beta]], rtol=1e-14)
    eps = sde.numerical_eps
    assert sde.start_cov == ((eps, 0.0), (0.0, sde.gamma / sde.m_inv + eps))
    assert torch.equal(sde.prior_cov(), f64([[1.0, 0.0], [0.0, mass]]))
    assert sde.data_var() == 1 - eps


@pytest.mark.parametrize("sde", [CLD(numerical_eps=0.0), CLD(0.5, 7.0, 16.0, 0.25, 0.0)])
def test_cld_closed_form(sde):
    """DESIGN part 2's stable form: the noise is an incomplete gamma function."""
    t = np.logspace(-6, 0, 40)
    lam, b = math.sqrt(sde.m_inv), sde.beta_0 * t + sde.beta_1 * t**2 / 2
    y = 2 * lam * b
    phi = np.exp(-lam * b)[:, None, None] * np.moveaxis(
        np.array([[1 + lam * b, lam**2 * b], [-b, 1 - lam * b]]), -1, 0
    )
    xx, xv = gammainc(3, y), np.exp(-y) * y**2 / (2 * lam)
    noise = np.moveaxis(np.array([[xx, xv], [xv, (xx + 2 * y * np.exp(-y)) / lam**2]]), -1, 0)
    got_phi, got_cov = sde.transition(f64(np.zeros(40)), f64(t))
    carried, factor = sde.kernel_from(f64(t))  # u_0 itself is known: denoising score matching
    assert np.allclose(got_phi, phi, rtol=1e-12, atol=1e-15)
    assert np.allclose(carried, phi, rtol=1e-12, atol=1e-15)
    start = np.diag([0.0, sde.gamma / sde.m_inv])
    cov = noise + phi @ start @ np.swapaxes(phi, -1, -2)
    for got, want in (
        (got_cov, noise),
        (factor @ factor.mT, noise),
        (sde.kernel(f64(t)).cov, cov),
    ):
        scale = np.sqrt(np.einsum("nii,njj->nij", want, want))
        assert np.abs((got.numpy() - want) / scale).max() < 2e-14
