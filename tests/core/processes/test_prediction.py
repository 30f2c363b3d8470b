"""Noise from each target of a network: identities in plain Gaussian algebra, for every process."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from support.processes import EVERY, f64

from sgmkit.errors import BadValue
from sgmkit.processes import (
    act_on_phases,
    input_scale,
    noise_label,
    noise_operators,
    rescale_operator,
    score_operator,
    weight_matrix,
)
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP

SHARES = [1e-3, 0.05, 0.4, 0.95]
SINGLE = {name: sde for name, sde in EVERY.items() if sde.driven == 1}
EDM_STD = 0.4


def draws(*shape, seed=0):
    return f64(np.random.default_rng(seed).normal(size=shape))


def times(sde):
    return f64(SHARES) * sde.horizon


def channel(sde, t):
    """a and the row that makes ``w = a x + eps`` of a state, by plain inversion of L."""
    kernel = sde.kernel(t)
    row = torch.linalg.inv(kernel.chol)[:, -1]
    return (row * kernel.mean).sum(1), row


def answers(sde, t, x, eps):
    """What a network that knows x and eps would say, from each paper's own definition."""
    a, _ = channel(sde, t)
    a = a.reshape(-1, *([1] * (x.ndim - 1)))
    angle = torch.atan2(torch.ones_like(a), a)  # Salimans & Ho: alpha = cos, sigma = sin
    skip = EDM_STD**2 / (1 / a.square() + EDM_STD**2)  # Karras et al., table 1, sigma = 1 / |a|
    out = EDM_STD / (1 + EDM_STD**2 * a.square()).sqrt()  # c_out = sigma sd / sqrt(sigma^2 + sd^2)
    return {
        "noise": eps,
        "x": x,
        "v": torch.cos(angle) * eps - torch.sin(angle) * x,
        "edm": (x - skip * (x + eps / a)) / out,
    }


@pytest.mark.parametrize("prediction", ["noise", "x", "v", "edm"])
@pytest.mark.parametrize("name", SINGLE)
def test_the_right_answer_is_the_right_noise(name, prediction):
    sde = SINGLE[name]
    t = times(sde)
    kernel, x = sde.kernel(t), draws(4, 3)
    eps = draws(4, sde.phases, 3, seed=1)
    u, own = kernel.perturb(x, eps), eps[:, -1]
    answer = answers(sde, t, x, own)[prediction]
    first, second = noise_operators(kernel, 1, prediction, EDM_STD)
    assert first.shape == (4, 1, sde.phases)
    assert second.shape == (4, 1, 1)
    got = act_on_phases(first, u) + act_on_phases(second, answer[:, None])
    a, _ = channel(sde, t)
    grain = 1e-10 * (1 + a.abs()).reshape(-1, 1, 1)  # eps = w - a x: digits that a x takes
    assert bool(((got - own[:, None]).abs() < grain).all())


def test_both_signs_of_the_channel_were_met():
    signs = {float(a) > 0 for sde in SINGLE.values() for a in channel(sde, times(sde))[0]}
    assert signs == {True, False}


@pytest.mark.parametrize("data_var", [1.0, 0.3])
@pytest.mark.parametrize("name", EVERY)
def test_a_residual_is_what_normal_data_leave(name, data_var):
    """x given u by the joint covariance of N(0, c) data and their states, phase by phase."""
    sde, r = EVERY[name], EVERY[name].driven
    t = times(sde)
    kernel, x = sde.kernel(t), draws(4, 3)
    eps = draws(4, sde.phases, 3, seed=1)
    u = kernel.perturb(x, eps)
    total = kernel.cov + data_var * kernel.mean[:, :, None] * kernel.mean[:, None]
    gain = data_var * torch.linalg.solve(total, kernel.mean[..., None])[..., 0]
    left = data_var - data_var * (gain * kernel.mean).sum(-1)
    answer = (x - torch.einsum("bk,bkn->bn", gain, u)) / left[:, None] * data_var**0.5
    first, second = noise_operators(kernel, r, "residual", data_var=data_var)
    assert torch.allclose(
        act_on_phases(first, u) + second * answer[:, None], eps[:, -r:], atol=1e-6
    )


@pytest.mark.parametrize("name", SINGLE)
def test_answers_have_unit_variance(name):
    """v for N(0, 1) data, EDM's answer for N(0, sd^2): what makes them easy for a network."""
    sde = SINGLE[name]
    kernel = sde.kernel(times(sde))
    for prediction, std in (("v", 1.0), ("edm", EDM_STD)):
        first, second = noise_operators(kernel, 1, prediction, EDM_STD)
        from_x = -(first[:, 0] * kernel.mean).sum(1) / second[:, 0, 0]
        from_eps = -(first @ kernel.chol)[:, 0] / second[:, 0]
        from_eps[:, -1] += 1 / second[:, 0, 0]
        total = (std * from_x).square() + from_eps.square().sum(1)
        assert torch.allclose(total, torch.ones(4).double(), rtol=1e-7)


def test_v_and_edm_of_unit_data_are_opposite():
    kernel = SINGLE["cld"].kernel(times(SINGLE["cld"]))
    first, second = noise_operators(kernel, 1, "v")
    other, opposite = noise_operators(kernel, 1, "edm", 1.0)
    assert torch.equal(first, other)
    assert torch.equal(second, -opposite)


def test_a_channel_that_is_silent_says_the_noise_itself():
    """Underdamped, third order: a crosses zero, and nothing divides by it."""
    sde = EVERY["underdamped"]
    zero = brentq(lambda t: float(sde.kernel(f64(t)).rho[-1]), 0.3, 0.7, xtol=1e-14)
    t = f64([zero, zero])
    kernel, x, eps = sde.kernel(t), draws(2, 5), draws(2, 3, 5, seed=1)
    u = kernel.perturb(x, eps)
    for prediction in ("x", "v", "edm"):
        first, second = noise_operators(kernel, 1, prediction)
        assert torch.allclose(act_on_phases(first, u), eps[:, -1:], rtol=0, atol=1e-9)
        assert float(second.abs().max()) < 1e-9
    around = f64([zero - 1e-5, zero, zero + 1e-5])
    before, at, after = weight_matrix(sde, around, sde.kernel(around), "edm")[:, 0, 0].tolist()
    assert at == pytest.approx((before + after) / 2, rel=1e-6)  # its limit, and no spike
    assert at > 0.1


def test_noise_of_several_driven_phases():
    kernel = EVERY["pair"].kernel(f64([0.3, 1.0]))
    first, second = noise_operators(kernel, 2, "noise")
    assert torch.equal(first, torch.zeros(2, 2, 3).double())
    assert torch.equal(second, torch.eye(2).double().expand(2, 2, 2))


@pytest.mark.parametrize("prediction", ["x", "v", "edm"])
def test_only_noise_has_several_phases(prediction):
    with pytest.raises(BadValue) as caught:
        noise_operators(EVERY["pair"].kernel(f64([0.3])), 2, prediction)
    message = f"prediction '{prediction}' needs one driven phase, not 2; use noise"
    assert str(caught.value) == message


def test_no_such_prediction():
    with pytest.raises(BadValue) as caught:
        noise_operators(VP().kernel(f64([0.3])), 1, "score")
    assert str(caught.value) == "prediction 'score' is none of noise, v, x, edm, residual, R"


@pytest.mark.parametrize("name", EVERY)
def test_rescaled_noise_is_the_same_score(name):
    """From the law given u_0 to that given x; the full inverse, then its driven rows."""
    sde, r = EVERY[name], EVERY[name].driven
    t = times(sde)
    kernel, (_, factor) = sde.kernel(t), sde.kernel_from(t)
    eps = torch.zeros(4, sde.phases, 6, dtype=torch.float64)
    eps[:, -r:] = draws(4, r, 6)
    score = -torch.linalg.inv(factor).mT @ eps
    moved = rescale_operator(factor, kernel.chol, r)
    got = score_operator(kernel, r) @ moved @ eps[:, -r:]
    assert torch.allclose(got, score[:, -r:], rtol=1e-9)
    back = rescale_operator(kernel.chol, factor, r)
    assert torch.allclose(back @ moved, torch.eye(r).double().expand(4, r, r), atol=1e-12)


def test_rescaling_is_the_ratio_of_the_factors():
    """One driven phase: L_vv of the kernel over L_vv given u_0, above one where v_0 is unknown."""
    sde, t = EVERY["cld"], f64([1e-3, 0.3])
    kernel, (_, factor) = sde.kernel(t), sde.kernel_from(t)
    ratio = rescale_operator(factor, kernel.chol, 1)[:, 0, 0]
    assert torch.allclose(ratio, kernel.chol[:, 1, 1] / factor[:, 1, 1], rtol=1e-13)
    assert 1.1 < float(ratio[0]) < 2 / 3**0.5  # the limit at 0, but for the eps of the start


@pytest.mark.parametrize("data_var", [1.0, 0.25])
@pytest.mark.parametrize("name", EVERY)
def test_scaled_phases_have_unit_variance(name, data_var):
    sde = EVERY[name]
    t = times(sde)
    kernel = sde.kernel(t)
    scale = input_scale(kernel, data_var)
    phi, noise = sde.transition(0 * t, t)
    start = f64(sde.start_cov) if len(sde.start_cov) else torch.zeros_like(phi[0])
    start = start + torch.diag(f64([data_var] + [0.0] * (sde.phases - 1)))
    total = noise + phi @ start @ phi.mT
    want = scale.square() * total.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(want, torch.ones_like(want), rtol=1e-9)


def test_labels_are_log_sigma():
    t = f64([0.01, 1.0, 80.0])
    assert torch.allclose(noise_label(EDM().kernel(t)), t.log() / 4, rtol=1e-12)
    kernel = VP().kernel(f64([0.01, 0.9]))
    sigma = kernel.chol[:, 0, 0] / kernel.mean[:, 0]
    assert torch.allclose(noise_label(kernel), sigma.log() / 4, rtol=1e-12)
