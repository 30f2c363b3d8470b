"""Kernels and losses against the numbers of the methods' own public implementations.

Tolerances are the README's of those numbers. Where an official number is wrong, the test says so
and holds the right one.
"""

import math

import pytest
import torch
from support.golden_data import (
    CLD_KERNELS,
    CLD_LOSSES,
    CLD_STUB,
    CLD_VP,
    GDDIM,
    LOSS_EPS,
    LSGM,
    LSGM_LOGITS,
    SCORE_SDES,
    SCORE_STUB,
    load,
)
from support.processes import f64
from torch import Tensor

from sgmkit.processes import (
    Kernel,
    LinearSDE,
    act_on_phases,
    mix_noise,
    normal_noise_operator,
    scaled_cholesky,
    score_operator,
    velocity_noise_operator,
    weight_matrix,
    weighted_error,
)
from sgmkit.processes.gddim import point_flow
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP

CASES = list(CLD_KERNELS)
WEIGHTINGS = {
    "likelihood": "likelihood",
    "reweightedv1": "reweighted",
    "reweightedv2": "unweighted",
}


def near(got: Tensor, want: Tensor, rtol: float, atol: float = 0.0) -> bool:
    assert got.shape == want.shape
    return torch.allclose(got, want, rtol=rtol, atol=atol)


def clean(sde: CLD) -> CLD:
    """The process without the official code's eps, which it adds to S_t and not to S_0."""
    return CLD(sde.beta_0, sde.beta_1, sde.m_inv, sde.gamma, 0.0)


def official(sde: CLD, t: Tensor, matching: str) -> Kernel:
    """CLD-SGM's kernel: ours given x (hsm) or u_0 (dsm), and then eps on both diagonals."""
    kernel = clean(sde).kernel(t)
    cov = kernel.cov
    if matching == "dsm":
        factor = clean(sde).kernel_from(t)[1]
        cov = factor @ factor.mT
    cov = cov + sde.numerical_eps * torch.eye(2, dtype=t.dtype)
    return Kernel(kernel.mean, cov, scaled_cholesky(cov))


def triple(cov: Tensor) -> Tensor:
    return torch.stack([cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]], 1)


def state(columns: Tensor) -> Tensor:
    """Columns (x1, x2, v1, v2) as ``(B, phase, coordinate)``."""
    return columns.unflatten(1, (2, 2))


# CLD-SGM: kernels.


@pytest.mark.parametrize("case", CASES)
def test_cld_mean(case):
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    phi, _ = sde.transition(0 * golden["t"], golden["t"])
    # v's own coefficient is 1 - 2 B / Gamma: it crosses zero, where rounding is not relative.
    assert near(phi, golden[f"{case}_mean_coef"], rtol=1e-11, atol=1e-13)
    assert near(sde.kernel(golden["t"]).mean, golden[f"{case}_mean_coef"][..., 0], 1e-11, 1e-13)
    assert near(sde.clock(golden["t"]), golden[f"{case}_beta_int"], rtol=1e-14)


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("case", CASES)
def test_cld_covariance(case, matching):
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    t = golden["t"]
    kernel = official(sde, t, matching)
    assert near(triple(kernel.cov), golden[f"{case}_{matching}_var"], rtol=1e-7, atol=1e-14)
    multiplier = score_operator(kernel, 1)[:, 0, 0]
    assert near(multiplier, golden[f"{case}_{matching}_noise_mult"], rtol=2e-7)
    bare = golden[f"{case}_{matching}_var_eps0"]
    exact = official(clean(sde), t, matching).cov
    # k4 takes eight doublings where S_xx is 1: ours rounds there by 1.9e-14.
    assert near(triple(exact), bare, rtol=0, atol=2.5e-14 if case == "k4" else 1e-14)


def test_cld_official_covariance_cancels():
    """At t = 1e-5 the official var_xx without eps is off by more than 1 % (dsm, slow schedules).

    Ours is right there: test_sde holds it to sixty digits.
    """
    golden, sde = load("cld_kernel"), clean(CLD_KERNELS["k2"])
    ours = official(sde, golden["t"], "dsm").cov[:, 0, 0]
    tau = sde.clock(golden["t"])
    leading = sde.m_inv**2 * 4 / math.sqrt(sde.m_inv) * tau**3 / 3  # first term of the series
    theirs = golden["k2_dsm_var_eps0"][:, 0]
    assert float((ours / leading - 1)[0].abs()) < 1e-4
    assert float((theirs / leading - 1)[0].abs()) > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_cld_eps_is_variance_of_the_start(case):
    """Ours blurs u_0; the official code adds eps to S_t: within 1e-7 of each other at 1e-9."""
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    t = golden["t"]
    phi, _ = sde.transition(0 * t, t)
    exact = clean(sde).kernel(t).cov + sde.numerical_eps * phi @ phi.mT
    assert near(sde.kernel(t).cov, exact, rtol=1e-13, atol=1e-16)
    if sde.numerical_eps == 1e-9:
        theirs = triple(official(sde, t, "hsm").cov)
        assert near(triple(sde.kernel(t).cov), theirs, rtol=1e-7)
        assert near(triple(sde.kernel(t).cov), golden[f"{case}_hsm_var"], rtol=2e-7, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_cld_other_starts(case):
    """Moments from any start are the same transition: S_0 = diag(0.37, 0.11)."""
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    phi, cov = sde.transition(0 * golden["t"], golden["t"])
    total = phi @ torch.diag(f64([0.37, 0.11])) @ phi.mT + cov
    total = total + sde.numerical_eps * torch.eye(2)
    assert near(triple(total), golden[f"{case}_var_init"], rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("case", CASES)
def test_cld_perturbation(case, matching):
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    t, z, start = golden["t_probe"], state(golden["z_probe"]), state(golden["u_probe"])
    kernel = official(sde, t, matching)
    mean = act_on_phases(kernel.mean[..., None], start[:, :1])
    if matching == "dsm":
        phi, _ = sde.transition(0 * t, t)
        mean = act_on_phases(phi, start)
    got = mean + act_on_phases(kernel.chol, z)
    assert near(mean, state(golden[f"{case}_{matching}_perturb_mean"]), rtol=1e-11, atol=1e-13)
    assert near(got, state(golden[f"{case}_{matching}_perturbed"]), rtol=1e-7, atol=1e-9)
    if matching == "hsm":
        assert near(kernel.perturb(start[:, 0], z), got, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_cld_coefficients(case):
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    t, u = golden["t_probe"], state(golden["u_probe"])
    assert near(act_on_phases(sde.drift(t), u), state(golden[f"{case}_drift"]), rtol=1e-12)
    root = sde.diffusion(t).sqrt()
    want = state(golden[f"{case}_diffusion"])
    assert near(act_on_phases(root, torch.ones_like(u)), want, rtol=1e-12)
    assert near(sde.diffusion(golden["t"])[:, 1, 1] / 2, golden[f"{case}_loss_mult"], rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_cld_reverse_drifts(case):
    """At forward time 1 - s, s = 0.9 t, with the score 0.3 v - 0.2 x of the files."""
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    t, u = 1 - 0.9 * golden["t_probe"], state(golden["u_probe"])
    score = 0.3 * u[:, 1:] - 0.2 * u[:, :1]
    pulled = act_on_phases(sde.diffusion(t)[..., 1:], score)
    back = -act_on_phases(sde.drift(t), u)
    assert near(back + pulled, state(golden[f"{case}_rev_drift"]), rtol=1e-12, atol=1e-14)
    assert near(back + pulled / 2, state(golden[f"{case}_rev_drift_ode"]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_cld_prior(case):
    golden, sde = load("cld_kernel"), CLD_KERNELS[case]
    var = sde.prior_cov().diag()
    u = state(golden["u_probe"])
    density = -0.5 * (u.square() / var[:, None] + torch.log(2 * math.pi * var)[:, None]).sum(2)
    assert near(density, golden[f"{case}_prior_logp"], rtol=1e-12)
    assert torch.equal(sde.prior_cov(), torch.diag(var))


def test_cld_own_vp():
    golden = load("cld_kernel")
    t, kernel = golden["t"], CLD_VP.kernel(golden["t"])
    assert near(kernel.mean[:, 0], golden["vp_mean_coef"], rtol=1e-11)
    assert near(kernel.cov[:, 0, 0], golden["vp_var"], rtol=1e-7, atol=1e-14)
    assert near(score_operator(kernel, 1)[:, 0, 0], golden["vp_noise_mult"], rtol=2e-7)
    assert near(CLD_VP.diffusion(t)[:, 0, 0] / 2, golden["vp_loss_mult"], rtol=1e-12)
    started = VP(CLD_VP.beta_min, CLD_VP.beta_max, sigma2_0=0.37).kernel(t)
    assert near(started.cov[:, 0, 0], golden["vp_var_init"], rtol=1e-7)


# CLD-SGM: losses.


def cld_stub(last: Tensor, data: Tensor, t: Tensor) -> Tensor:
    """``tanh(a v) cos(b t) + c x`` of the README; VPSDE has no v and uses x for both."""
    wave = torch.cos(CLD_STUB["b"] * t)[:, None, None]
    return torch.tanh(CLD_STUB["a"] * last) * wave + CLD_STUB["c"] * data


def cld_loss(sde: CLD, matching: str, mixed: bool, weighting: str) -> Tensor:
    golden = load("cld_loss")
    t = golden["r"] * (1 - LOSS_EPS) + LOSS_EPS
    z = state(golden["z"])
    kernel = official(sde, t, matching)
    if matching == "hsm":
        u = kernel.perturb(golden["x0"], z)
    else:
        v0 = golden["zv0"] * math.sqrt(sde.gamma / sde.m_inv)
        phi, _ = sde.transition(0 * t, t)
        u = act_on_phases(phi, torch.stack([golden["x0"], v0], 1)) + act_on_phases(kernel.chol, z)
    noise = cld_stub(u[:, 1:], u[:, :1], t)
    if mixed:
        # The official code takes S_vv from hybrid matching whatever the matching is.
        hybrid = official(sde, t, "hsm")
        fixed = act_on_phases(velocity_noise_operator(hybrid, 1), u)
        noise = noise + fixed * (kernel.chol / hybrid.chol)[:, 1, 1, None, None]
    weight = weight_matrix(sde, t, kernel, weighting)
    return weighted_error(weight, z[:, 1:] - noise)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("score", ["plain", "mixed"])
@pytest.mark.parametrize("matching", ["hsm", "dsm"])
@pytest.mark.parametrize("case", list(CLD_LOSSES))
def test_cld_loss(case, matching, score, weighting):
    golden = load("cld_loss")
    got = cld_loss(CLD_LOSSES[case], matching, score == "mixed", WEIGHTINGS[weighting])
    key = f"{case}_{matching}_{score}_{weighting}"
    assert near(got, golden[key], rtol=1e-9)
    assert near(got.float(), golden[f"{key}_f32"], rtol=1e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("score", ["plain", "mixed"])
def test_cld_own_vp_loss(score, weighting):
    golden = load("cld_loss")
    t = golden["r"] * (1 - LOSS_EPS) + LOSS_EPS
    kernel, eps = CLD_VP.kernel(t), golden["z_vp"][:, None]
    u = kernel.perturb(golden["x0"], eps)
    noise = cld_stub(u, u, t)
    if score == "mixed":
        noise = noise + act_on_phases(normal_noise_operator(kernel, 1, 1.0), u)
    weight = weight_matrix(CLD_VP, t, kernel, WEIGHTINGS[weighting])
    got = weighted_error(weight, eps - noise)
    assert near(got, golden[f"vp_{score}_{weighting}"], rtol=1e-9)
    assert near(got.float(), golden[f"vp_{score}_{weighting}_f32"], rtol=1e-4)


# Score-SDE.


@pytest.mark.parametrize("name", list(SCORE_SDES))
def test_score_sde_kernel(name):
    golden, sde = load("scoresde_kernel"), SCORE_SDES[name]
    kernel = sde.kernel(golden["t"])
    assert near(kernel.mean[:, 0], golden[f"{name}_mean_coef"], rtol=1e-12)
    # The official VP and sub-VP form 1 - exp(-B), which rounds at 1e-16 / B: 1e-10 at t = 1e-5.
    assert near(kernel.chol[:, 0, 0], golden[f"{name}_std"], rtol=1e-12, atol=1e-13)
    assert near(kernel.cov[:, 0, 0].sqrt(), kernel.chol[:, 0, 0], rtol=1e-14)


@pytest.mark.parametrize("name", list(SCORE_SDES))
def test_score_sde_coefficients(name):
    golden, sde = load("scoresde_kernel"), SCORE_SDES[name]
    t, x = golden["t_probe"], golden["x_probe"]
    assert near(sde.drift(t)[:, :, 0] * x, golden[f"{name}_drift"], rtol=1e-12)
    assert near(sde.diffusion(t)[:, 0, 0].sqrt(), golden[f"{name}_diffusion"], rtol=1e-12)


@pytest.mark.parametrize("name", list(SCORE_SDES))
def test_score_sde_prior(name):
    golden, sde = load("scoresde_kernel"), SCORE_SDES[name]
    var = float(sde.prior_cov())
    x = golden["x_probe"] * (5 if name == "ve" else 1)
    want = -0.5 * (x.square() / var + math.log(2 * math.pi * var)).sum(1)
    assert near(want, golden[f"{name}_prior_logp"], rtol=1e-12)


def score_stub(name: str, sde: LinearSDE, u: Tensor, t: Tensor, std: Tensor) -> Tensor:
    """The stub network of the README, as a noise prediction."""
    tau = (std.log() if name == "ve" else t)[:, None, None]
    network = torch.tanh(SCORE_STUB["a"] * u) * torch.cos(SCORE_STUB["b"] * tau)
    network = network + SCORE_STUB["c"] * u
    return -std[:, None, None] * network if name == "ve" else network


@pytest.mark.parametrize("reduce_mean", [0, 1])
@pytest.mark.parametrize("name", list(SCORE_SDES))
def test_score_sde_loss(name, reduce_mean):
    """Mean over two coordinates, or half their sum: the same number, and 1/2 e^T W e as well."""
    golden, sde = load("scoresde_loss"), SCORE_SDES[name]
    t = golden["r"] * (1 - LOSS_EPS) + LOSS_EPS
    kernel, eps = sde.kernel(t), golden["z"][:, None]
    u = kernel.perturb(golden["x0"], eps)
    error = eps - score_stub(name, sde, u, t, kernel.chol[:, 0, 0])
    loss = {
        1: weighted_error(weight_matrix(sde, t, kernel, "likelihood"), error),
        0: weighted_error(weight_matrix(sde, t, kernel, "unweighted"), error) / 2,  # no half there
    }
    for likelihood, value in loss.items():
        want = golden[f"{name}_reducemean{reduce_mean}_lw{likelihood}"]
        assert near(value.mean(), want, rtol=1e-11)


# LSGM.


@pytest.mark.parametrize("name", list(LSGM))
def test_lsgm_kernel(name):
    golden, sde = load("lsgm_kernel"), LSGM[name]
    t = golden["t"]
    kernel = sde.kernel(t)
    assert near(sde.drift(t)[:, 0, 0], golden[f"{name}_f"], rtol=1e-12)
    # VP and sub-VP form 1 - exp(-B), which keeps 1e-16 of one only; `test_sde` holds our digits.
    grain = 5e-16 if "vpsde" in name else 0.0
    assert near(sde.diffusion(t)[:, 0, 0], golden[f"{name}_g2"], rtol=1e-12, atol=grain)
    assert near(kernel.cov[:, 0, 0], golden[f"{name}_var"], rtol=1e-12, atol=grain)
    assert near(kernel.mean[:, 0], golden[f"{name}_e2int_f"], rtol=1e-12)


@pytest.mark.parametrize("name", list(LSGM))
def test_lsgm_mixing(name):
    golden, sde = load("lsgm_kernel"), LSGM[name]
    t, x = golden["t_probe"], golden["x_probe"][:, None]
    operator = normal_noise_operator(sde.kernel(t), 1, sde.data_var())
    fixed = act_on_phases(operator, x)
    assert near(fixed[:, 0], golden[f"{name}_mixing"], rtol=1e-11)
    mixed = mix_noise(fixed, torch.tanh(x), f64(LSGM_LOGITS))
    assert near(mixed[:, 0], golden[f"{name}_mixed_pred"], rtol=1e-11)


@pytest.mark.parametrize("name", list(LSGM))
def test_lsgm_samples(name):
    golden, sde = load("lsgm_kernel"), LSGM[name]
    x = golden["x_probe"]
    got = sde.kernel(golden["t_probe"]).perturb(x, x.flip(0)[:, None])
    assert near(got[:, 0], golden[f"{name}_sample_q"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", list(LSGM))
def test_lsgm_entropy_at_the_cut_off(name):
    """The constant of the cross entropy, ``H(N(., S_e))`` per coordinate."""
    golden, sde = load("lsgm_kernel"), LSGM[name]
    keys = [key for key in golden if key.startswith(f"{name}_ce_const_")]
    assert len(keys) >= 2
    for key in keys:
        cov = sde.kernel(f64(float(key.rsplit("_", 1)[1]))).cov
        got = 0.5 * (1 + math.log(2 * math.pi) + torch.logdet(cov))
        assert float(got) == pytest.approx(float(golden[key]), rel=1e-11)


def test_lsgm_variance_of_normal_data():
    """VESDE's total variance, ``1 - sigma_0^2 + sigma_t^2``: the c of the time sampling."""
    golden, sde = load("lsgm_kernel"), LSGM["vesde"]
    kernel = sde.kernel(golden["t"])
    total = kernel.cov[:, 0, 0] + sde.data_var() * kernel.mean[:, 0].square()
    assert near(total, golden["vesde_var_N"], rtol=1e-12)


# gDDIM.


def test_gddim_square_roots():
    """``R_s R_t^{-1}`` of the official fourth-order integrator.

    Its time stamps are stretched (1 / 1e-5 truncates to 99999): its R is that of t / 1.00001.
    """
    golden = load("gddim_cld")
    times, roots = golden["rev_ts"], golden["R_rev_rk"]
    right = times / 1.00001
    flow = point_flow(GDDIM, right[:-1], right[1:], intervals=64)
    theirs = roots[1:] @ torch.linalg.inv(roots[:-1])
    target, source = GDDIM.kernel(right[1:]), GDDIM.kernel(right[:-1])
    assert float((target.whiten @ (flow - theirs) @ source.chol).abs().max()) < 3e-7
    assert near(GDDIM.kernel(golden["t"]).cov, golden["Sigma_exact"], rtol=1e-9, atol=1e-15)
    psi = GDDIM.transition(times[:-1], times[1:])[0]
    assert near(psi, golden["psi"], rtol=1e-9, atol=1e-11)
