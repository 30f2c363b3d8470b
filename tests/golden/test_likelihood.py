"""Official likelihoods by the probability flow, with exact divergence (tests/golden).

The reference estimates were averaged over all Rademacher sign vectors, which is the exact trace.
"""

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import MIXTURE, close, phases

from sgmkit import RecordedNoise
from sgmkit.likelihoods import normal_log_density
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM, VE
from sgmkit_sdes.vp import VP, Geometric, SubVP

ROWS = 12
NONE = [torch.zeros(ROWS, 0)]


def likelihood(sde, x, t_min, tol, draws=NONE, **options):
    noise = RecordedNoise(draws)
    return Exact(sde, MIXTURE).nll(x, noise, t_min=t_min, rtol=tol, atol=tol, **options)


SCORE_SDES = {"vp": VP(), "subvp": SubVP(), "ve": VE()}


@pytest.mark.parametrize("name", SCORE_SDES)
def test_score_sde(name):
    golden = {key: value[:ROWS] for key, value in load("scoresde_likelihood").items()}
    out = likelihood(SCORE_SDES[name], golden["x"], 1e-5, 1e-9)
    u_T, mismatch = out.parts["u_T"], out.parts["mismatch"]
    prior = SCORE_SDES[name].prior_cov()
    if name == "ve":  # Score-SDE's prior is N(0, sigma_max^2); ours, the law of u_T given 0, too
        assert float(prior) == pytest.approx(2500.0, rel=1e-14)
    assert close(u_T[:, 0], golden[f"{name}_z_tol1e-11"], 1e-7)
    assert close(-out.nats, golden[f"{name}_nats_exacttrace"], 1e-8)
    assert close(-out.parts["exact"], golden[f"{name}_true_logp_eps"], 1e-11)
    assert close(mismatch, golden[f"{name}_prior_mismatch"], 1e-8)
    assert bool((out.stderr == 0).all())


@pytest.mark.parametrize("name", ["vp", "subvp"])
def test_score_sde_with_one_recorded_probe(name):
    """One Rademacher vector, held along the flow: the official estimate itself, row by row."""
    golden = {key: value[:ROWS] for key, value in load("scoresde_likelihood").items()}
    draws = [0.25 + 0.5 * golden["hutch01"]]  # uniform numbers: below one half is -1
    out = likelihood(SCORE_SDES[name], golden["x"], 1e-5, 1e-9, draws, probes=1)
    assert close(-out.nats, golden[f"{name}_nats_tol1e-11"], 1e-8)
    assert not close(-out.nats, golden[f"{name}_nats_exacttrace"], 1e-3)
    assert bool(out.stderr.isnan().all())


LSGM = {
    "geometric": Geometric(sigma2_min=3e-5, sigma2_max=0.999),
    "vpsde": VP(),
    "sub_vpsde": SubVP(),
    "vesde": VE(sigma_min=3e-5**0.5, sigma_max=50.0),
}


@pytest.mark.parametrize("name", LSGM)
def test_lsgm(name):
    """sigma2_0 is in the reference's variance as in ours; its log(2 pi)/2 is cut to ten digits."""
    golden = {key: value[:ROWS] for key, value in load("lsgm_ode_discrete").items()}
    out = likelihood(LSGM[name], golden["x"], 1e-5, 1e-9)
    assert close(out.parts["u_T"][:, 0], golden[f"{name}_latent"], 1e-7)
    assert close(out.nats, golden[f"{name}_nll_exacttrace"], 1e-8)
    assert close(-out.parts["exact"], golden[f"{name}_true_logp_eps"], 1e-10)
    assert close(out.parts["mismatch"], golden[f"{name}_prior_mismatch"], 1e-8)


def test_k_diffusion():
    golden = load("k_diffusion")
    out = likelihood(EDM(sigma_max=50.0), golden["lik_x"], 0.01, 1e-8)
    assert close(out.parts["u_T"][:, 0], golden["lik_latent"], 1e-6)
    assert close(-out.nats, golden["lik_exacttrace"], 1e-7)
    assert close(-out.parts["exact"], golden["lik_true_logp_sigma_min"], 1e-11)
    assert close(out.parts["mismatch"], golden["lik_prior_mismatch"], 1e-7)
    draws = [0.25 + 0.5 * golden["lik_hutch01"]]
    out = likelihood(EDM(sigma_max=50.0), golden["lik_x"], 0.01, 1e-8, draws, probes=1)
    assert close(-out.nats, golden["lik_tol1e-10"], 1e-7)
    assert close(-out.nats, golden["lik_tol1e-04"], 5e-3)


CLDS = {
    "s0": CLD(numerical_eps=0.0),
    "s1": CLD(beta_0=1.0, beta_1=6.0, m_inv=2.5, gamma=0.1, numerical_eps=0.0),
}


@pytest.mark.parametrize("name", CLDS)
def test_cld(name):
    """The joint likelihood of (x, v): ours is of x alone, with the density of its v added."""
    golden, sde = {key: value[:ROWS] for key, value in load("cld_likelihood").items()}, CLDS[name]
    u, cut = phases(golden[f"{name}_u0"]), torch.tensor(1e-5, dtype=torch.float64)
    kernel = sde.kernel(cut)
    shift = u[:, 1:] - kernel.mean[1] * u[:, :1]
    out = likelihood(sde, golden["x"], 1e-5, 3e-9, [shift / kernel.cov[1, 1].sqrt()])
    assert close(out.parts["log_aux"], normal_log_density(shift, kernel.cov[1:, 1:]), 1e-13)
    joint = out.nats - out.parts["log_aux"]
    assert close(out.parts["u_T"], phases(golden[f"{name}_uT_tol1e-10"]), 1e-6)
    assert close(joint, golden[f"{name}_nll_exacttrace"], 1e-7)
    exact = Exact(sde, MIXTURE)
    assert close(-exact.log_prob(u, cut), golden[f"{name}_true_nll_eps"], 1e-9)
    assert close(out.parts["mismatch"], golden[f"{name}_prior_mismatch"], 1e-7)
