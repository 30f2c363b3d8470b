"""Every process against its moment ODEs, and its prior against the stationary law."""

import numpy as np
import pytest
import torch
from support.moments import ANY, STATIONARY, moment_odes, start_of
from support.processes import (
    EVERY,
    Pair,
    Twisting,
    f64,
)


@pytest.mark.parametrize("name", ANY)
def test_kernel_solves_the_moment_odes(name):
    """F and D are one law with m_t and S_t: each is written down on its own."""
    sde = ANY[name]
    for share in (0.01, 0.3, 0.95):
        end = share * sde.horizon
        phi, cov = moment_odes(sde, 0.0, end, start_of(sde))
        kernel = sde.kernel(f64(end))
        deviation = np.sqrt(np.diag(cov))
        assert np.allclose(kernel.mean, phi[:, 0], rtol=1e-9, atol=1e-10)
        gap = kernel.cov.numpy() - cov
        assert np.abs(gap / np.outer(deviation, deviation)).max() < 1e-9
        gap = kernel.chol.numpy() - np.linalg.cholesky(cov)
        assert np.abs(gap / deviation[:, None]).max() < 1e-8


@pytest.mark.parametrize("name", ANY)
def test_transition_solves_the_moment_odes(name):
    sde = ANY[name]
    for early, late in ((0.02, 0.1), (0.4, 0.9)):
        begin, end = early * sde.horizon, late * sde.horizon
        phi, cov = moment_odes(sde, begin, end, np.zeros((sde.phases,) * 2))
        got_phi, got_cov = sde.transition(f64(begin), f64(end))
        deviation = np.sqrt(np.diag(cov))
        assert np.allclose(got_phi, phi, rtol=1e-8, atol=1e-10)
        gap = got_cov.numpy() - cov
        assert np.abs(gap / np.outer(deviation, deviation)).max() < 1e-8


@pytest.mark.parametrize("name", ANY)
def test_semigroup(name):
    """From 0 to t is from 0 to s and then from s to t; one time and many times agree."""
    sde = ANY[name]
    s, t = f64([0.001, 0.1, 0.5]) * sde.horizon, f64([0.3, 0.11, 0.9]) * sde.horizon
    early, late = sde.kernel(s), sde.kernel(t)
    phi, cov = sde.transition(s, t)
    scale = late.cov.diagonal(dim1=-2, dim2=-1).sqrt()
    gap = (phi @ early.cov @ phi.mT + cov - late.cov) / scale[..., None] / scale[..., None, :]
    tolerance = 1e-9 if name == "twisting" else 1e-12
    assert float(gap.abs().max()) < tolerance
    assert torch.allclose(
        (phi @ early.mean[..., None])[..., 0], late.mean, rtol=tolerance, atol=tolerance
    )
    for n in range(3):
        one = sde.kernel(t[n])
        assert torch.allclose(one.chol, late.chol[n], rtol=1e-13, atol=1e-15)
        assert torch.allclose(one.mean, late.mean[n], rtol=1e-13, atol=1e-15)
        one_phi, one_cov = sde.transition(s[n], t[n])
        assert torch.allclose(one_phi, phi[n], rtol=1e-13, atol=1e-15)
        assert torch.allclose(one_cov, cov[n], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ANY)
def test_shapes_and_structure(name):
    sde = ANY[name]
    k, r = sde.phases, sde.driven
    for t in (f64(0.4), f64([0.1, 0.4, 0.7])):
        t = t * sde.horizon
        drift, noise, kernel = sde.drift(t), sde.diffusion(t), sde.kernel(t)
        assert drift.shape == noise.shape == kernel.cov.shape == (*t.shape, k, k)
        assert kernel.mean.shape == kernel.rho.shape == (*t.shape, k)
        assert kernel.snr.shape == t.shape
        assert torch.equal(noise, noise.mT)
        assert torch.count_nonzero(noise[..., : k - r, :]) == 0
        assert bool((torch.linalg.eigvalsh(noise[..., -r:, -r:]) > 0).all())
        assert torch.equal(kernel.chol, kernel.chol.tril())
        assert bool((kernel.chol.diagonal(dim1=-2, dim2=-1) > 0).all())
        assert torch.allclose(kernel.chol @ kernel.chol.mT, kernel.cov, rtol=1e-12, atol=1e-15)
        assert torch.allclose(kernel.whiten @ kernel.chol, torch.eye(k).double(), atol=1e-9)
        assert torch.allclose(
            (kernel.chol @ kernel.rho[..., None])[..., 0], kernel.mean, rtol=1e-10, atol=1e-12
        )
        single = (
            sde.drift(t.float()),
            sde.diffusion(t.float()),
            *sde.transition(0 * t.float(), t.float()),
        )
        assert all(m.dtype == torch.float32 for m in single)


@pytest.mark.parametrize("name", ANY)
def test_snr_falls(name):
    sde = ANY[name]
    t = torch.linspace(1e-3, 1.0, 60, dtype=torch.float64) * sde.horizon
    assert bool((sde.kernel(t).snr.diff() < 0).all())


@pytest.mark.parametrize("name", STATIONARY)
def test_precision_is_the_stationary_law(name):
    """``F C + C F^T + D = 0`` on the range of P, where ``C = P^{-1}``; VE's P is zero."""
    sde = EVERY[name]
    precision = np.array(sde.precision)
    drift, noise = np.array(sde.drift_matrix), np.array(sde.noise_matrix)
    # P F + F^T P + P D P: the Lyapunov equation times P on both sides, which needs no inverse.
    assert np.allclose(precision @ drift + drift.T @ precision + precision @ noise @ precision, 0)
    if precision.any():
        assert np.allclose(sde.prior_cov(), np.linalg.inv(precision))


def test_prior_without_a_stationary_law():
    """Else it is the law of u_T given x = 0; so it is where P leaves a phase out."""
    sde = Pair()
    assert torch.equal(sde.prior_cov(), sde.kernel(f64(sde.horizon)).cov)

    class Half(Pair):
        precision = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    assert torch.equal(Half().prior_cov(), sde.kernel(f64(sde.horizon)).cov)
    assert Twisting().prior_cov().dtype == torch.float64
