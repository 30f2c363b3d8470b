"""Weight matrices of the loss against the formulas of the papers."""

import math

import numpy as np
import pytest
import torch
from support.processes import EVERY, f64

from sgmkit.errors import BadValue
from sgmkit.processes import (
    act_on_phases,
    score_operator,
    weight_matrix,
    weighted_error,
)
from sgmkit.processes.score import WEAK
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import VE
from sgmkit_sdes.vp import VP, SubVP

WEIGHTINGS = ["likelihood", "reweighted", "unweighted"]


def draws(*shape, seed=0):
    return f64(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("name", EVERY)
def test_weights(name):
    """Song et al. 2021b, theorem 1, and both papers' lists, entry by entry."""
    sde = EVERY[name]
    r = sde.driven
    times = f64([0.01, 0.3, 0.9]) * sde.horizon
    kernel, noise = sde.kernel(times), sde.diffusion(times)[:, -r:, -r:]
    error, score_gap = draws(3, r, 2, 2), draws(3, r, 2, 2)
    score_gap = act_on_phases(score_operator(kernel, r), error)
    likelihood = 0.5 * torch.einsum("brij,brs,bsij->b", score_gap, noise, score_gap)
    reweighted = 0.5 * torch.einsum("brij,brs,bsij->b", error, noise, error)
    wants = likelihood, reweighted, error.square().flatten(1).sum(1)
    for weighting, want in zip(WEIGHTINGS, wants, strict=True):
        weight = weight_matrix(sde, times, kernel, weighting)
        assert weight.shape == (3, r, r)
        assert torch.allclose(weight, weight.mT, rtol=1e-12, atol=0)
        assert torch.allclose(weighted_error(weight, error), want, rtol=1e-10)
        one = weight_matrix(sde, times[1], sde.kernel(times[1]), weighting)
        assert one.shape == (r, r)
        assert torch.allclose(weighted_error(one, error)[1], want[1], rtol=1e-10)
        assert weighted_error(weight, error.float()).dtype == torch.float32


def test_weights_of_the_papers():
    t = f64([0.01, 0.3, 0.9])
    for sde in (VP(), SubVP(), VE()):  # LSGM, table 1: g^2 / sigma^2, g^2
        kernel, g2 = sde.kernel(t), sde.diffusion(t)
        assert torch.allclose(
            weight_matrix(sde, t, kernel, "likelihood"), g2 / kernel.cov, rtol=1e-12
        )
        assert torch.equal(weight_matrix(sde, t, kernel, "reweighted"), g2)
    sde = CLD(1.0, 6.0, 2.5, 0.1)  # CLD-SGM: Gamma beta l^2 |e|^2 and Gamma beta |e|^2
    kernel = sde.kernel(t)
    friction = 2 / math.sqrt(sde.m_inv) * (sde.beta_0 + sde.beta_1 * t)
    cov = kernel.cov
    ell2 = cov[:, 0, 0] / (cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] ** 2)
    error = draws(3, 1, 4)
    total = error.square().sum((1, 2))
    for weighting, want in (("likelihood", friction * ell2), ("reweighted", friction)):
        got = weighted_error(weight_matrix(sde, t, kernel, weighting), error)
        assert torch.allclose(got, want * total, rtol=1e-9)


def test_no_such_weighting():
    t = f64([0.5])
    with pytest.raises(BadValue, match="weighting") as caught:
        weight_matrix(VP(), t, VP().kernel(t), "snr")
    message = "weighting 'snr' is none of likelihood, reweighted, unweighted, edm"
    assert str(caught.value) == message


SHARES = [1e-3, 0.05, 0.4, 0.95]


SINGLE = {name: sde for name, sde in EVERY.items() if sde.driven == 1}


EDM_STD = 0.4


def times(sde):
    return f64(SHARES) * sde.horizon


def channel(sde, t):
    """a and the row that makes ``w = a x + eps`` of a state, by plain inversion of L."""
    kernel = sde.kernel(t)
    row = torch.linalg.inv(kernel.chol)[:, -1]
    return (row * kernel.mean).sum(1), row


@pytest.mark.parametrize("name", [n for n in SINGLE if n != "underdamped"])
def test_the_edm_weight_is_their_loss_on_the_channel(name):
    """``lambda(sigma) |x_theta - x|^2`` times the log-normal law, sigma by finite differences."""
    sde = SINGLE[name]
    t, sd = times(sde), EDM_STD
    a, _ = channel(sde, t)
    level = a.abs().reciprocal()
    lam = (level.square() + sd**2) / (level * sd).square()

    def log_sigma(t):
        return -0.5 * sde.kernel(t).rho.square().sum(-1).log()

    h = 1e-3 * t
    slope = (8 * (log_sigma(t + h) - log_sigma(t - h))) / (12 * h)
    slope = slope - (log_sigma(t + 2 * h) - log_sigma(t - 2 * h)) / (12 * h)
    density = torch.exp(-0.5 * ((log_sigma(t) + 1.2) / 1.2).square())
    density = density / (1.2 * math.sqrt(2 * math.pi)) * slope
    want = 2 * lam * level.square() * density  # the loss is half of e^T W e, e = a (x - x_theta)
    got = weight_matrix(sde, t, sde.kernel(t), "edm", sd)[:, 0, 0]
    share = sde.kernel(t).rho[:, -1].square() / sde.kernel(t).snr
    assert bool((share > WEAK).all())
    assert torch.allclose(got, want, rtol=1e-5)


def test_the_edm_weight_of_several_driven_phases():
    """All driven channels together, and a multiple of the identity."""
    sde, t = EVERY["psld"], f64([0.2])
    kernel = sde.kernel(t)
    weight = weight_matrix(sde, t, kernel, "edm", 1.0)[0]
    assert torch.equal(weight, weight[0, 0] * torch.eye(2).double())
    step = 1e-4
    ends = [-0.5 * sde.kernel(t + d).snr.log() for d in (-step, step)]
    density = torch.exp(-0.5 * ((sum(ends) / 2 + 1.2) / 1.2).square()) / (
        1.2 * math.sqrt(2 * math.pi)
    )
    want = 2 * (1 + 1 / kernel.snr) * density * (ends[1] - ends[0]) / (2 * step)
    assert float(weight[0, 0]) == pytest.approx(float(want), rel=1e-5)
