"""Score, posterior mean and mixed scores from noise, against brute-force Gaussian algebra."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from support import oracles
from support.processes import EVERY, STRANGE, Flow, Third, f64
from torch.distributions import MultivariateNormal

from sgmkit.processes import (
    act_on_phases,
    denoise_operators,
    driven_factor,
    mix_noise,
    normal_noise_operator,
    score_operator,
    velocity_noise_operator,
)
from sgmkit.processes.score import WEAK
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, SubVP

SHARES = [1e-3, 0.05, 0.4, 0.95]


def draws(*shape, seed=0):
    return f64(np.random.default_rng(seed).normal(size=shape))


def law(sde, t, data_var):
    """m, S and the total covariance of data with that variance, from F and D's own moments."""
    phi, noise = sde.transition(0 * t, t)
    start = f64(sde.start_cov) if len(sde.start_cov) else torch.zeros_like(phi)
    mean, cov = phi[:, 0], noise + phi @ start @ phi.mT
    return mean, cov, cov + data_var * torch.outer(mean, mean)


def spans(sde):
    return [f64(share * sde.horizon) for share in SHARES]


@pytest.mark.parametrize("name", EVERY)
def test_driven_score_is_the_gradient_of_the_log_density(name):
    sde = EVERY[name]
    k, r = sde.phases, sde.driven
    for n, t in enumerate(spans(sde)):
        mean, cov, _ = law(sde, t, 1.0)
        x, kernel = draws(6, 2, seed=n), sde.kernel(t)
        eps = draws(6, k, 2, seed=10 + n)
        u = kernel.perturb(x, eps).requires_grad_()
        density = MultivariateNormal(mean * x[..., None], cov)
        density.log_prob(u.mT).sum().backward()
        score = act_on_phases(score_operator(kernel, r), eps[:, -r:])
        assert u.grad is not None
        assert torch.allclose(score, u.grad[:, -r:], rtol=1e-7, atol=1e-9)
        assert torch.equal(driven_factor(kernel, r), kernel.chol[-r:, -r:])
        back = -act_on_phases(driven_factor(kernel, r).mT, score)
        assert torch.allclose(back, eps[:, -r:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_perturbed_states_have_white_channels(name):
    """``L^{-1} u = rho x + eps``, at one time or at one for each sample."""
    sde = EVERY[name]
    x, eps = draws(3, 2, 4), draws(3, sde.phases, 2, 4, seed=1)
    times = f64([0.01, 0.3, 0.9]) * sde.horizon
    kernel = sde.kernel(times)
    u = kernel.perturb(x, eps)
    for b in range(3):
        one = sde.kernel(times[b])
        assert torch.allclose(one.perturb(x, eps)[b], u[b], rtol=1e-11, atol=1e-13)
        for i in range(sde.phases):
            want = one.mean[i] * x[b] + sum(one.chol[i, j] * eps[b, j] for j in range(i + 1))
            assert torch.allclose(u[b, i], want, rtol=1e-11, atol=1e-13)
    white = act_on_phases(kernel.whiten, u)
    want = kernel.rho[:, :, None, None] * x[:, None] + eps
    assert torch.allclose(white, want, rtol=1e-8, atol=1e-9)
    assert kernel.perturb(x.float(), eps.float()).dtype == torch.float32


@pytest.mark.parametrize("data_var", [1.0, 0.3, 5.0])
@pytest.mark.parametrize("name", EVERY)
def test_normal_noise_is_the_score_of_the_total_law(name, data_var):
    sde = EVERY[name]
    r = sde.driven
    for n, t in enumerate(spans(sde)):
        _, _, total = law(sde, t, data_var)
        u = (torch.linalg.cholesky(total) @ draws(sde.phases, 5, seed=n)).mT[..., None]
        u.requires_grad_()
        MultivariateNormal(torch.zeros(sde.phases).double(), total).log_prob(
            u[..., 0]
        ).sum().backward()
        kernel = sde.kernel(t)
        eps = act_on_phases(normal_noise_operator(kernel, r, data_var), u.detach())
        assert u.grad is not None
        want = -act_on_phases(driven_factor(kernel, r).mT, u.grad[:, -r:])
        assert torch.allclose(eps, want, rtol=1e-7, atol=1e-9)
        assert torch.allclose(
            act_on_phases(score_operator(kernel, r), eps), u.grad[:, -r:], rtol=1e-7, atol=1e-7
        )


def test_normal_noise_of_the_papers():
    """LSGM, section 3.2: sigma z for VP; and their forms for sub-VP and VE."""
    t = f64([0.01, 0.3, 1.0])
    for sde in (VP(), VP(sigma2_0=0.1), SubVP(), VE()):
        kernel, c = sde.kernel(t), sde.data_var()
        sigma, mean = kernel.chol[:, 0, 0], kernel.mean[:, 0]
        want = sigma / (sigma.square() + c * mean.square())
        got = normal_noise_operator(kernel, 1, c)
        assert got.shape == (3, 1, 1)
        assert torch.allclose(got[:, 0, 0], want, rtol=1e-12)
        if isinstance(sde, VP):
            assert torch.allclose(got[:, 0, 0], sigma, rtol=1e-12)


@pytest.mark.parametrize("name", ["cld", "cld-sloped", "third", "underdamped"])
def test_normal_noise_keeps_its_digits(name):
    """Sb is well conditioned where S itself is not: nine orders of magnitude at t = 1e-5."""
    sde = EVERY[name]
    for t in (1e-5, 1e-3, 0.1, 1.0):
        tau = float(sde.clock(f64(t)))
        mean, cov, chol = oracles.kernel(sde.drift_matrix, sde.noise_matrix, sde.start_cov, tau)
        k, c = sde.phases, sde.data_var()
        with oracles.mp.workdps(oracles.DIGITS):
            total = cov + c * mean * mean.T
            unit = oracles.mp.zeros(k, 1)
            unit[k - 1] = 1
            row = chol[k - 1, k - 1] * oracles.mp.lu_solve(total, unit)
            scale = oracles.mp.matrix([1 / oracles.mp.sqrt(total[i, i]) for i in range(k)])
        got = normal_noise_operator(sde.kernel(f64(t)), 1, c)[0]
        assert oracles.relative(got, row, scale) < 1e-13


def test_velocity_noise():
    """Dockhorn et al. 2022, section 3.2: ``s = -v / S_vv``, and no use of x."""
    for sde in (CLD(), CLD(0.5, 7.0, 16.0, 0.25)):
        kernel = sde.kernel(f64([0.01, 0.3, 1.0]))
        got = velocity_noise_operator(kernel, 1)
        assert got.shape == (3, 1, 2)
        assert torch.count_nonzero(got[..., 0]) == 0
        assert torch.allclose(got[:, 0, 1], kernel.chol[:, 1, 1] / kernel.cov[:, 1, 1], rtol=1e-13)
        u = draws(3, 2, 4)
        score = act_on_phases(score_operator(kernel, 1), act_on_phases(got, u))
        assert torch.allclose(score, -u[:, 1:] / kernel.cov[:, 1, 1, None, None], rtol=1e-12)
    sde = STRANGE["pair"]
    kernel, u = sde.kernel(f64(0.7)), draws(4, 3, 2)
    score = act_on_phases(
        score_operator(kernel, 2), act_on_phases(velocity_noise_operator(kernel, 2), u)
    )
    want = -act_on_phases(torch.linalg.inv(kernel.cov[1:, 1:]), u[:, 1:])
    assert torch.allclose(score, want, rtol=1e-10)


@pytest.mark.parametrize("data_var", [1.0, 0.04, 9.0])
@pytest.mark.parametrize("name", EVERY)
def test_denoising_is_gaussian_conditioning(name, data_var):
    """With the exact noise of N(0, c) data, E[x | u] of the joint law of (x, u)."""
    sde = EVERY[name]
    r = sde.driven
    for n, t in enumerate(spans(sde)):
        kernel = sde.kernel(t)
        mean, _, total = law(sde, t, data_var)
        u = draws(4, sde.phases, 3, seed=n)
        u = torch.einsum("ij,bjn->bin", torch.linalg.cholesky(total), u)
        want = torch.einsum("i,bin->bn", data_var * torch.linalg.solve(total, mean), u)
        eps = act_on_phases(normal_noise_operator(kernel, r, data_var), u)
        first, second = denoise_operators(kernel, r, data_var)
        assert first.shape == (1, sde.phases)
        assert second.shape == (1, r)
        if float(kernel.rho[-r:].square().sum() / kernel.snr) < WEAK:
            continue  # below
        got = (act_on_phases(first, u) + act_on_phases(second, eps))[:, 0]
        assert torch.allclose(got, want, rtol=1e-6, atol=1e-6 * math.sqrt(data_var))


@pytest.mark.parametrize("name", [n for n in EVERY if n != "underdamped"])
def test_denoising_with_the_exact_noise_is_exact(name):
    """Nothing is assumed of the data: x itself comes back from u and the driven noise."""
    sde = EVERY[name]
    times = f64([0.01, 0.3, 0.9]) * sde.horizon
    kernel = sde.kernel(times)
    x, eps = draws(3, 2), draws(3, sde.phases, 2, seed=1)
    first, second = denoise_operators(kernel, sde.driven, sde.data_var())
    got = (
        act_on_phases(first, kernel.perturb(x, eps)) + act_on_phases(second, eps[:, -sde.driven :])
    )[:, 0]
    assert torch.allclose(got, x, rtol=1e-6, atol=1e-6)


def test_denoising_where_the_driven_channel_is_silent():
    """Underdamped, third order: a changes its sign, and nothing may divide by it."""
    sde, c = Third(second=1.0, friction=2.0, speed=6.0), 0.5

    def driven_share(t):
        rho = sde.kernel(f64(t)).rho
        return float(rho[-1] / rho.norm())

    zero = brentq(driven_share, 0.3, 0.7, xtol=1e-14)
    assert abs(driven_share(zero)) < 1e-9
    edge = brentq(lambda t: driven_share(t) ** 2 - WEAK, zero, zero + 0.2, xtol=1e-15)
    times = f64([zero - 0.02, zero - 1e-6, zero, zero + 1e-6, edge - 1e-9, edge + 1e-9])
    weak = sde.kernel(times).rho[:, -1].square() < WEAK * sde.kernel(times).snr
    assert weak.tolist() == [abs(driven_share(t)) ** 2 < WEAK for t in times.tolist()]
    assert weak.tolist()[1:] == [True, True, True, True, False]
    estimates = []
    for t in times:
        kernel = sde.kernel(t)
        mean, _, total = law(sde, t, c)
        gain = c * torch.linalg.solve(total, mean)
        posterior = c - c * float(gain @ mean)
        first, second = denoise_operators(kernel, 1, c)
        whole = first + second @ normal_noise_operator(kernel, 1, c)
        error = whole[0] - gain  # of a linear estimate of x, on states with covariance `total`
        assert float(error @ total @ error) <= WEAK * posterior * 1.0001
        estimates.append(whole[0])
    jump = estimates[-1] - estimates[-2]
    assert 0 < float(jump @ total @ jump) < WEAK * posterior * 1.01
    undriven = denoise_operators(sde.kernel(f64(zero)), 1, c)
    assert torch.count_nonzero(undriven[1]) == 0
    assert bool(torch.cat([*undriven], 1).isfinite().all())


def test_the_silent_branch_conditions_on_the_undriven_channels():
    sde, c = Third(second=1.0, friction=2.0, speed=6.0), 0.5
    zero = brentq(lambda t: float(sde.kernel(f64(t)).rho[-1]), 0.3, 0.7, xtol=1e-14)
    kernel = sde.kernel(f64(zero))
    mean, _, total = law(sde, f64(zero), c)
    want = c * torch.linalg.solve(total[:2, :2], mean[:2])  # E[x | u_0, u_1]
    first, _ = denoise_operators(kernel, 1, c)
    assert torch.allclose(first[0], torch.cat([want, f64([0.0])]), rtol=1e-9, atol=1e-12)


def test_denoising_where_nothing_is_left_of_the_data():
    """At the end of a straight path the best guess is the mean, not 0 / 0."""
    first, second = denoise_operators(Flow().kernel(f64([0.5, 1.0])), 1, 1.0)
    assert first[:, 0, 0].tolist() == [2.0, 0.0]
    assert second[:, 0, 0].tolist() == [-1.0, 0.0]


def test_mixed_noise():
    fixed, network = draws(5, 1, 3), draws(5, 1, 3, seed=1)
    logit = f64([-3.0, 0.0, 40.0])
    share = 1 / (1 + np.exp(-logit.numpy()))
    want = (1 - share) * fixed.numpy() + share * network.numpy()
    assert np.allclose(mix_noise(fixed, network, logit), want, rtol=1e-14)
    logit.requires_grad_()
    mix_noise(fixed, network, logit).sum().backward()
    slope = (share * (1 - share)) * (network - fixed).sum((0, 1)).numpy()
    assert np.allclose(logit.grad, slope, rtol=1e-12, atol=1e-16)


def test_mixed_noise_of_a_network_under_autocast():
    """The network speaks bfloat16 there; the state, and so the fixed part, does not."""
    fixed, network = torch.ones(2, 1, 3), torch.full((2, 1, 3), 3.0, dtype=torch.bfloat16)
    mixed = mix_noise(fixed, network, torch.zeros(3))
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, torch.full((2, 1, 3), 2.0))
