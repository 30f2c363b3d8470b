"""The reverse process of data at one point, and the factor R: held against ODEs and Bayes' rule."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from support.processes import EVERY, SEVERAL, General, Third, f64

from sgmkit.processes import flow_factor, point_transition
from sgmkit.processes.gddim import point_flow
from sgmkit.solvers import covariance_factor
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.hold import HOLD
from sgmkit_sdes.vp import VP

CHOSEN = {name: EVERY[name] for name in ("vp", "cld", "cld-sloped", "third", "pair", "psld")}
LONG = ((1.0, 1e-3), (1.0, 0.3), (0.3, 1e-5), (2e-3, 1e-3))
ETAS = (0.0, 0.3, 1.0)


def of_cov(gap, cov):
    """Largest entry of a covariance's error, in units of deviations."""
    scale = cov.diagonal(dim1=-2, dim2=-1).sqrt()
    return float((gap / scale[..., None] / scale[..., None, :]).abs().max())


def of_map(gap, source, target):
    """Largest entry of a linear map's error, in units of the noise at its ends."""
    return float((target.whiten @ gap @ source.chol).abs().max())


def odes(sde, t, s, eta):
    """``dPhi/dt = F^ Phi``, ``dP/dt = F^ P + P F^T - eta D``, ``dS/dt = F S + S F^T + D``."""
    k = sde.phases

    def slope(now, y):
        phi, spread, cov = y.reshape(3, k, k)
        drift, noise = sde.drift(f64(now)).numpy(), sde.diffusion(f64(now)).numpy()
        pulled = drift + (1 + eta) / 2 * noise @ np.linalg.inv(cov)
        rows = pulled @ phi, pulled @ spread + spread @ pulled.T - eta * noise
        return np.stack([*rows, drift @ cov + cov @ drift.T + noise]).ravel()

    at = np.stack([np.eye(k), np.zeros((k, k)), sde.kernel(f64(t)).cov.numpy()])
    path = solve_ivp(slope, (t, s), at.ravel(), method="DOP853", rtol=1e-11, atol=1e-16)
    return [f64(x) for x in path.y[:, -1].reshape(3, k, k)[:2]]


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", CHOSEN)
def test_point_transition_solves_its_odes(name, eta):
    sde = CHOSEN[name]
    for ends in ((0.9, 0.5), (0.4, 0.1), (0.1, 0.03)):
        t, s = (f64(x * sde.horizon) for x in ends)
        source, target = sde.kernel(t), sde.kernel(s)
        phi, spread = odes(sde, float(t), float(s), eta)
        for intervals, tolerance in ((0, 1e-6), (400, 1e-8)):
            got = point_transition(sde, t, s, eta, intervals)
            assert of_map(got[0] - phi, source, target) < tolerance
            assert of_cov(got[1] - spread, target.cov) < tolerance


@pytest.mark.parametrize("name", EVERY)
def test_all_noise_is_the_posterior(name):
    """eta = 1: the law of u_s given u_t and the data, from the forward transition by Bayes."""
    sde = EVERY[name]
    for ends in ((0.9, 0.5), (0.3, 0.02), (1.0, 0.01)):
        t, s = (f64(x * sde.horizon) for x in ends)
        (phi, _), source, target = sde.transition(s, t), sde.kernel(t), sde.kernel(s)
        gain = target.cov @ phi.mT @ source.whiten.mT @ source.whiten
        spread = target.cov - gain @ phi @ target.cov
        got = point_transition(sde, t, s, 1.0)
        assert of_map(got[0] - gain, source, target) < 1e-6
        assert of_cov(got[1] - spread, target.cov) < 1e-6


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("name", [*CHOSEN, "cld-heavy", "underdamped"])
def test_the_kernel_is_carried_however_long_the_step(name, eta):
    """``first S_t first^T + second = S_s``, and what is added is a covariance that has a root."""
    sde = EVERY[name]
    for ends in LONG:
        t, s = (f64([x * sde.horizon]) for x in ends)
        source, target = sde.kernel(t), sde.kernel(s)
        first, second = point_transition(sde, t, s, eta)
        assert of_cov(first @ source.cov @ first.mT + second - target.cov, target.cov) < 2e-6
        factor = covariance_factor(second)
        assert of_cov(factor @ factor.mT - second, target.cov) < 1e-12


@pytest.mark.parametrize("order", [3, 4])
def test_stiff_chains_keep_their_covariance(order):
    """In one step down to t = 1e-5; the more phases, the more the frame turns."""
    sde = HOLD(order=order)
    t, s = f64([1.0, 0.2]), f64([1e-5, 1e-5])
    for eta in ETAS:
        first, second = point_transition(sde, t, s, eta)
        source, target = sde.kernel(t), sde.kernel(s)
        assert of_cov(first @ source.cov @ first.mT + second - target.cov, target.cov) < 1e-5
        assert bool(torch.linalg.eigvalsh(target.whiten @ second @ target.whiten.mT).min() > -1e-14)


@pytest.mark.parametrize("name", ["vp", "cld", "third", "pair"])
def test_rows_do_not_see_their_neighbours(name):
    sde = CHOSEN[name]
    t, s = f64([1.0, 0.3, 0.011]) * sde.horizon, f64([0.9, 1e-4, 0.01]) * sde.horizon
    together = point_transition(sde, t, s, 0.3)
    factors = flow_factor(sde, t)
    for i in range(3):
        alone = point_transition(sde, t[i], s[i], 0.3)
        for one, all_ in zip(alone, together, strict=True):
            assert torch.allclose(one, all_[i], rtol=1e-12, atol=1e-16)
        assert torch.allclose(flow_factor(sde, t[i]), factors[i], rtol=1e-12, atol=1e-16)


def test_nothing_moves_in_no_time():
    for sde in CHOSEN.values():
        t = f64([0.3])
        for eta in ETAS:
            first, second = point_transition(sde, t, t, eta)
            assert torch.allclose(first[0], torch.eye(sde.phases).double(), atol=1e-12)
            assert float(second.abs().max()) == 0


def test_noise_levels_compose():
    """Two steps are one, in mean and covariance."""
    for name in ("vp", "cld-sloped", "third", "pair"):
        sde = CHOSEN[name]
        t, m, s = (f64(x) for x in (0.8, 0.5, 0.2))
        for eta in ETAS:
            first, cov = point_transition(sde, t, m, eta, 200)
            second, more = point_transition(sde, m, s, eta, 200)
            whole, spread = point_transition(sde, t, s, eta, 200)
            assert of_map(second @ first - whole, sde.kernel(t), sde.kernel(s)) < 1e-7
            assert of_cov(second @ cov @ second.mT + more - spread, sde.kernel(s).cov) < 1e-7


# R ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_factor_is_a_root_of_the_covariance(name):
    sde = EVERY[name]
    t = f64([[1e-5, 1e-3, 0.02], [0.3, 0.77, 1.0]]) * sde.horizon
    factor, cov = flow_factor(sde, t), sde.kernel(t).cov
    assert factor.shape == (2, 3, sde.phases, sde.phases)
    assert of_cov(factor @ factor.mT - cov, cov) < (1e-8 if name == "third" else 1e-12)
    if sde.phases == 1:
        assert torch.allclose(factor[..., 0, 0], cov[..., 0, 0].sqrt(), rtol=1e-14)


@pytest.mark.parametrize("name", ["vp", "cld", "cld-sloped", "cld-heavy", "third", "pair", "psld"])
def test_factor_solves_its_ode(name):
    """``R' = (F + D S^{-1} / 2) R`` by differences, between nodes and on them."""
    sde = EVERY[name]
    for share in (0.01, 0.2, 0.55, 0.9):
        t = f64(share * sde.horizon)
        h = 1e-5 * t
        # Richardson's central difference
        wide, near = ((flow_factor(sde, t + n * h) - flow_factor(sde, t - n * h)) for n in (2, 1))
        slope = (8 * near - wide) / (12 * h)
        factor, noise = flow_factor(sde, t), sde.diffusion(t)
        want = (sde.drift(t) + noise @ torch.linalg.inv(sde.kernel(t).cov) / 2) @ factor
        white = sde.kernel(t).whiten * t  # in units of the noise, per unit of log t
        assert float((white @ (slope - want)).abs().max()) < 1e-6


@pytest.mark.parametrize("name", SEVERAL)
def test_factor_goes_with_the_flow(name):
    sde = SEVERAL[name]
    t, s = f64([0.9, 0.5, 0.013]) * sde.horizon, f64([0.2, 0.8, 2e-4]) * sde.horizon
    gap = point_flow(sde, t, s, 1500) @ flow_factor(sde, t) - flow_factor(sde, s)
    assert float((sde.kernel(s).whiten @ gap).abs().max()) < 1e-5


def test_factor_starts_with_the_start():
    """As L at 0 if that has full rank; else it is L at the horizon."""
    for name in ("cld", "cld-heavy", "cld-light", "pair", "underdamped"):
        sde = EVERY[name]
        zero = f64(0.0)
        assert torch.allclose(flow_factor(sde, zero), sde.kernel(zero).chol, rtol=1e-6, atol=1e-12)
    for sde in (EVERY["third"], EVERY["psld"], CLD(numerical_eps=0.0)):
        end = f64(sde.horizon)
        assert torch.allclose(flow_factor(sde, end), sde.kernel(end).chol, rtol=1e-10, atol=1e-12)


def test_factor_takes_any_dtype():
    for sde in (VP(), CLD(), Third()):
        t = torch.tensor([0.01, 0.5, 1.0])
        got = flow_factor(sde, t)
        assert got.dtype == torch.float32
        assert torch.allclose(got, flow_factor(sde, t.double()).float(), rtol=1e-4, atol=1e-6)


def test_factors_made_in_inference_serve_in_training():
    """A network may be sampled before it is trained; both use the same remembered factors."""
    sde = CLD(gamma=0.123)
    t = f64([0.2, 0.6])
    with torch.inference_mode():
        before = flow_factor(sde, t).clone()
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    (flow_factor(sde, t) @ weight).square().sum().backward()
    assert weight.grad is not None
    assert torch.equal(flow_factor(sde, t), before)


def test_a_process_without_a_clock():
    """F and D alone lead to the same flow."""
    sde, inner = General(CLD(0.5, 7.0), 64), CLD(0.5, 7.0)
    t, s = f64([0.9, 0.3]), f64([0.5, 0.02])
    for one, other in zip(
        point_transition(sde, t, s, 0.3), point_transition(inner, t, s, 0.3), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-7, atol=1e-9)
