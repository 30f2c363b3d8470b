"""Digits and slopes of the kernels, against 60-digit arithmetic."""

import warnings

import mpmath as mp
import pytest
import torch
from support import oracles
from support.moments import ANY, DIGITS, exact_kernel, exact_noise
from support.processes import (
    BUILT_IN,
    EVERY,
    Flow,
    Pair,
    Still,
    f64,
)

from sgmkit import ClockedSDE
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP, Geometric, SubVP


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", DIGITS)
def test_kernel_in_sixty_digits(name, dtype):
    """Relative to each entry's own scale, at every t, in both precisions."""
    sde = DIGITS[name]
    norm = float(f64(sde.drift_matrix).abs().sum(-2).max())
    times = torch.tensor([1e-6, 1e-5, 1e-4, 1e-3, 0.02, 0.3, 1.0], dtype=dtype)
    kernel = sde.kernel(times)
    for n, t in enumerate(times.tolist()):
        tau, mean, cov, chol = exact_kernel(sde, t)
        grain = torch.finfo(dtype).eps * max(64.0, 8 * norm * float(tau))
        if dtype == torch.float64:
            grain = min(grain, 2e-12)
        rows = mp.matrix([[mp.sqrt(cov[i, i])] * len(chol[:, 0]) for i in range(chol.rows)])
        rho = oracles.whitened(chol, mean)
        assert oracles.relative(kernel.cov[n], cov, oracles.spread(cov)) < grain
        assert oracles.relative(kernel.chol[n], chol, rows) < grain
        assert (
            oracles.relative(
                kernel.chol[n].diag(), mp.matrix([chol[i, i] for i in range(chol.rows)])
            )
            < grain
        )
        assert oracles.relative(kernel.mean[n], mean, oracles.size(mean)) < 8 * grain
        assert oracles.relative(kernel.rho[n], rho, oracles.size(rho)) < 8 * grain


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", [name for name, sde in BUILT_IN.items() if sde.phases == 1])
def test_one_phase_keeps_its_digits(name, dtype):
    """``Q`` from 0 to t, which a difference of variances would lose at small t."""
    sde = BUILT_IN[name]
    for t in (1e-6, 1e-4, 0.01, 0.5):
        now = torch.tensor(t, dtype=dtype)
        with mp.workdps(60):
            want = float(exact_noise(sde, float(now)))
        got = float(sde.transition(0 * now, now)[1])
        assert got == pytest.approx(want, rel=16 * torch.finfo(dtype).eps)
        assert sde.kernel_from(now)[1].item() == pytest.approx(
            want**0.5, rel=16 * torch.finfo(dtype).eps
        )
    if isinstance(sde, ClockedSDE):
        assert float(sde.clock(f64(0.0))) == 0.0


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kernels_are_proper_from_the_start(name, dtype):
    sde = BUILT_IN[name]
    kernel = sde.kernel((torch.logspace(-5, 0, 50, dtype=torch.float64) * sde.horizon).to(dtype))
    for part in (kernel.mean, kernel.cov, kernel.chol, kernel.whiten, kernel.rho):
        assert part.dtype == dtype
        assert bool(part.isfinite().all())
    assert bool((kernel.chol.diagonal(dim1=-2, dim2=-1) > 0).all())
    want = sde.kernel(torch.logspace(-5, 0, 50, dtype=torch.float64) * sde.horizon)
    scale = want.cov.diagonal(dim1=-2, dim2=-1).sqrt()[..., None]
    loss = 2e-5 if isinstance(sde, Geometric) else 5e-6  # beta is 1e4 where it ends
    assert float(((kernel.chol - want.chol) / scale).abs().max()) < loss


@pytest.mark.parametrize("name", ["cld", "geometric", "ve", "underdamped"])
def test_a_proper_start_is_a_proper_kernel_at_zero(name):
    sde = EVERY[name]
    kernel = sde.kernel(f64([0.0, 0.5]))
    assert torch.allclose(kernel.cov[0], f64(sde.start_cov), rtol=1e-14, atol=0)
    assert kernel.mean[0].tolist() == [1.0] + [0.0] * (sde.phases - 1)


def test_kernel_from_knows_the_start():
    for sde in (VP(sigma2_0=0.1), SubVP(), Pair(), Flow()):
        t = f64([0.2, 0.9]) * sde.horizon
        phi, cov = sde.transition(0 * t, t)
        carried, factor = sde.kernel_from(t)
        assert torch.equal(carried, phi)
        assert torch.allclose(factor @ factor.mT, cov, rtol=1e-13)
        assert bool((factor.diagonal(dim1=-2, dim2=-1) > 0).all())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["cld-sloped", "subvp", "geometric", "flow"])
def test_coefficients_in_any_grad_mode(name, mode):
    sde = ANY[name]
    t = f64([0.2, 0.7])
    want = sde.drift(t), sde.diffusion(t)
    with mode():
        inside = f64([0.2, 0.7])
        for times in (t, inside, inside[:1]):
            got = sde.drift(times), sde.diffusion(times)
            assert all(torch.equal(x, y[: len(x)]) for x, y in zip(got, want, strict=True))
            assert not any(x.requires_grad for x in got)
    assert not any(x.requires_grad for x in want)


def test_coefficients_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sde in (CLD(beta_1=1.0), SubVP()):
            assert bool(sde.diffusion(f64([0.5])).isfinite().all())


def test_a_constant_mean_has_no_drift():
    t = f64([0.2, 0.7])
    assert torch.equal(Still().drift(t), torch.zeros(2, 1, 1).double())
    assert torch.allclose(Still().diffusion(t)[:, 0, 0], 8 * t)
    assert torch.allclose(Flow().drift(t)[:, 0, 0], -1 / (1 - t))
    assert torch.allclose(Flow().diffusion(t)[:, 0, 0], 2 * t / (1 - t))


def test_a_clock_may_stand_still():
    class Stopped(ClockedSDE):
        drift_matrix = ((-0.5,),)
        noise_matrix = ((1.0,),)

        def clock(self, t):
            return torch.zeros_like(t)

    assert torch.equal(Stopped().drift(f64([0.1, 0.2])), torch.zeros(2, 1, 1).double())
