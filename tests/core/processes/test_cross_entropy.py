r"""The cross entropy of latents to a score-based prior, against Gaussians in closed form.

Data z of aggregate law N(0, c) and the exact score of it. Three laws of the state at the cut-off:
q(u_e | z), their aggregate q(u_e), and p(u_e), what the reverse SDE makes of N(0, prior_cov). The
bound that is computed is, with I the mutual information,

    E_z CE(q(u_e | z) || q(u_e)) + KL(q(u_T) || N(0, prior_cov)):

along the path E_z KL(q(u_t | z) || q(u_t)) = I(z; u_t) falls by the integral of the score's error,
and the last term E_z KL(q(u_T | z) || prior) is I(z; u_T) and that divergence. It is above
E_z CE(q(u_e | z) || p(u_e)) by ``KL(q(u_T) || prior) - KL(q(u_e) || p(u_e))``, no less than zero.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.normal_aggregates import (
    CUT,
    PROCESSES,
    divergence,
    entropy,
    mean_excess,
    moments,
    normal_prior,
    prior_of,
    transition,
    wide,
)
from support.processes import f64
from torch import Tensor
from torch.distributions import MultivariateNormal

from sgmkit import Latents, SeededNoise
from sgmkit.errors import Incompatible
from sgmkit.likelihoods import chain_excess, diffusion_excess
from sgmkit.processes import TimeSampler, kernel_entropy, mutual_information, prior_divergence
from sgmkit_lsgm.bounds import state_log_q
from sgmkit_lsgm.divergence import cut_kernel, cut_state
from sgmkit_lsgm.normal import Normal as NormalPrior
from sgmkit_sdes.cld import CLD

WEIGHTINGS = ["likelihood", "reweighted", "unweighted", "edm"]


def kernel_at(sde, t=CUT):
    return sde.kernel(f64(t))


def cross_entropy_of(sde, var):
    """``E_z CE(q(u_e | z) || q(u_e)) = H(q(u_e))``, and ``KL(q(u_T) || prior)``."""
    at_cut, at_end = moments(sde, CUT, var)[1], moments(sde, sde.horizon, var)[1]
    return entropy(at_cut), divergence(np.zeros(sde.phases), at_end, prior_of(sde))


LAWS = [("importance", name) for name in WEIGHTINGS] + [("uniform", "reweighted")]
"""Of times; the uniform one knows no weighting."""


@pytest.mark.parametrize(("sampling", "weighting"), LAWS)
@pytest.mark.parametrize("name", PROCESSES)
def test_expected_value(name, sampling, weighting):
    """H of the aggregate, and what the end adds: for each law of times that weighs with 1 / r."""
    sde = PROCESSES[name]
    for var in (sde.data_var(), 0.3):
        model = normal_prior(sde, var, wide(sde), weighting=weighting, sampling=sampling)
        got = mean_excess(model, 0.0, math.sqrt(var)) + float(kernel_entropy(kernel_at(sde)))
        assert got == pytest.approx(sum(cross_entropy_of(sde, var)), abs=1e-7)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vp", {"prediction": "v"}),
        ("vp", {"prediction": "x"}),
        ("vp", {"prediction": "R", "weighting": "likelihood"}),
        ("vp", {"prediction": "residual"}),
        ("ve", {"prediction": "residual", "weighting": "likelihood"}),
        ("cld", {"prediction": "residual", "weighting": "reweighted"}),
        ("psld", {"prediction": "residual"}),
        ("cld", {"prediction": "v", "weighting": "likelihood"}),
        ("cld", {"prediction": "R", "weighting": "likelihood"}),
        ("cld", {"prediction": "R"}),
        ("psld", {"prediction": "R", "weighting": "reweighted"}),
        ("vp", {"mixed": "normal", "mixing_logit": -45.0}),
        ("psld", {"mixed": "normal", "mixing_logit": -45.0}),
        ("hold", {"mixed": "normal", "mixing_logit": -45.0}),
    ],
)
def test_expected_value_of_other_answers(name, options):
    """What is predicted, by one pass or two, changes nothing; the Normal part alone is exact."""
    sde = PROCESSES[name]
    var = sde.data_var() if "mixed" in options else 0.3
    model = normal_prior(sde, var, wide(sde), **options)
    if "mixed" in options:
        model.network.gain.data.fill_(1e3)  # whatever it says
    for way in ({}, {"separate": True}):
        got = mean_excess(model, 0.0, math.sqrt(var), **way)
        got += float(kernel_entropy(kernel_at(sde)))
        assert got == pytest.approx(sum(cross_entropy_of(sde, var)), abs=1e-7)


@pytest.mark.parametrize("var", [2.0, 0.3])
@pytest.mark.parametrize("name", ["vp-short", "cld-short", "psld-short"])
def test_truth_lies_below_by_what_the_end_forgets(name, var):
    """p(u_e) itself: the exact reverse SDE is ``q(u_e | u_T)``, here begun in the prior's law."""
    sde = PROCESSES[name]
    at_cut, at_end = (moments(sde, t, var)[1] for t in (CUT, sde.horizon))
    phi = transition(sde, CUT, sde.horizon)[0]
    back = at_cut @ phi.T @ np.linalg.inv(at_end)
    generated = at_cut + back @ (prior_of(sde) - at_end) @ back.T
    still = np.zeros(sde.phases)
    own, end = divergence(still, at_cut, generated), divergence(still, at_end, prior_of(sde))
    assert 1e-5 < own < end  # the bound is one, and not tight, where the horizon is short
    model = normal_prior(sde, var, wide(sde), weighting="likelihood")
    bound = mean_excess(model, 0.0, math.sqrt(var)) + float(kernel_entropy(kernel_at(sde)))
    assert bound - (entropy(at_cut) + own) == pytest.approx(end - own, abs=1e-7)


def weigh(excess: Tensor) -> Tensor:
    """Weights that are a function: they take two passes of the network."""
    return torch.ones_like(excess)


ROWS = 4_000


@pytest.mark.parametrize("way", ["number", "function", "separate"])
@pytest.mark.parametrize(
    ("name", "sampling", "weighting"),
    [
        ("vp", "importance", "likelihood"),
        ("vp", "uniform", "unweighted"),
        ("subvp", "importance", "likelihood"),
        ("geometric", "importance", "unweighted"),
        ("ve", "importance", "edm"),
        ("cld", "importance", "unweighted"),
        ("cld-short", "uniform", "likelihood"),
        ("psld", "importance", "reweighted"),
        ("hold", "importance", "reweighted"),
    ],
)
@torch.no_grad()
def test_draws_average_to_the_expected_value(name, sampling, weighting, way):
    """Latents, times and noise drawn as in training; the bound of `likelihoods.bounds` as well."""
    sde = PROCESSES[name]
    noise = SeededNoise(3, range(ROWS))
    z = 0.3**0.5 * noise.stream("z")(torch.empty(ROWS, 3, dtype=torch.float64))
    model = normal_prior(sde, 0.3, (3,), sampling=sampling, weighting=weighting)
    weight = weigh if way == "function" else 1.0
    rows = model.cross_entropy(z, noise, weight, separate=way == "separate").excess.mean(1)
    want = sum(cross_entropy_of(sde, 0.3)) - float(kernel_entropy(kernel_at(sde)))
    check_average(rows, want)
    if way == "number":
        times = TimeSampler(sde, "likelihood", CUT)
        check_average(diffusion_excess(model.reverse(noise), z, noise, times).mean(1), want)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("prediction", ["noise", "residual"])
@pytest.mark.parametrize("name", PROCESSES)
def test_what_normal_latents_cost_is_not_left_to_chance(name, prediction, separate):
    """With the score of N(0, c): divergences of Normals, whatever the draws; and its gradient."""
    sde, noise = PROCESSES[name], SeededNoise(3, range(50))
    z = noise.stream("z")(torch.empty(50, 3, dtype=torch.float64)).requires_grad_()
    model = normal_prior(sde, None, (3,), weighting="reweighted", prediction=prediction)
    result = model.cross_entropy(z, noise, 0.7, separate=separate)
    want, c = prior_divergence(sde, z), sde.data_var()
    for t, sign in ((CUT, 1), (sde.horizon, -1)):
        kernel = kernel_at(sde, t)
        whole = (kernel.cov + c * torch.outer(kernel.mean, kernel.mean)).numpy()
        rows = [
            divergence(kernel.mean.numpy() * value, kernel.cov.numpy(), whole)
            for value in (0.0, 1.0)
        ]
        want = want + sign * (rows[0] + (rows[1] - rows[0]) * z.square())
    assert torch.allclose(result.excess, want.detach(), rtol=1e-7, atol=1e-8)
    (got,), (slope,) = (torch.autograd.grad(each, z) for each in (result.loss, 0.7 * want.sum()))
    assert torch.allclose(got, slope, rtol=1e-7, atol=1e-8)
    times = TimeSampler(sde, "likelihood", CUT)
    rows = diffusion_excess(model.reverse(noise), z.detach(), noise, times)
    assert torch.allclose(rows, want.detach(), rtol=1e-7, atol=1e-8)


@torch.no_grad()
def test_strata_of_time_are_all_of_it():
    """Each of several draws from its own share of the law of t: the same mean, less noise."""
    sde = PROCESSES["cld"]
    noise = SeededNoise(3, range(ROWS))
    z = 0.3**0.5 * noise.stream("z")(torch.empty(ROWS, 3, dtype=torch.float64))
    model, times = normal_prior(sde, 0.3, (3,)), TimeSampler(sde, "likelihood", CUT)
    rev, strata, apart = model.reverse(noise), [], []
    for number in range(4):
        own = noise.stream(f"draw-{number}")
        strata.append(diffusion_excess(rev, z, own, times, (number, 4)).mean(1))
        apart.append(diffusion_excess(rev, z, own, times).mean(1))
    want = sum(cross_entropy_of(sde, 0.3)) - float(kernel_entropy(kernel_at(sde)))
    together = torch.stack(strata).mean(0)
    check_average(together, want)
    assert float(together.var()) < 0.9 * float(torch.stack(apart).mean(0).var())


def check_average(rows: Tensor, want: float) -> None:
    error = float(rows.std()) / math.sqrt(len(rows))
    assert error < 0.06 * want
    assert abs(float(rows.mean()) - want) < 4 * error


# Gaussian encoders: N(mu, s^2) given the data.


@pytest.mark.parametrize("weighting", ["likelihood", "reweighted"])
@pytest.mark.parametrize("name", PROCESSES)
def test_divergence_of_a_gaussian_encoder(name, weighting):
    """``excess - 1/2 log(1 + s^2 |rho_e|^2)`` for one mu, against KL(q(u_e | x) || q(u_e)).

    Aggregate N(0, c); the bound adds what the prior is not of the law at the end, under q(u_T | x).
    """
    sde, var = PROCESSES[name], 0.8
    model = normal_prior(sde, var, wide(sde), weighting=weighting)
    for mean, std in ((0.0, 0.3), (1.3, 0.02), (-0.4, 0.6)):
        laws = []
        for t in (CUT, sde.horizon):
            unit, cov = moments(sde, t, std**2)
            laws.append((mean * unit, cov, moments(sde, t, var)[1]))
        (middle, cov, total), (far, far_cov, end) = laws
        want = divergence(middle, cov, total)
        want += divergence(far, far_cov, prior_of(sde)) - divergence(far, far_cov, end)
        got = mean_excess(model, mean, std) - float(mutual_information(kernel_at(sde), f64(std)))
        assert got == pytest.approx(want, abs=1e-7)


@pytest.mark.parametrize("std", [0.3, 0.03])
def test_velocity_is_not_what_it_was_at_the_start(std):
    """KL as a cross entropy at e less H(z | x) and H(v_0): a whole nat off for CLD.

    Between 0 and e = 0.01 noise of variance 0.08 has entered a velocity of variance 0.01.
    """
    sde, var = CLD(), 0.8
    model = normal_prior(sde, var, wide(sde), weighting="likelihood")
    excess = mean_excess(model, 0.4, std)
    unit, cov = moments(sde, CUT, std**2)
    truth = divergence(0.4 * unit, cov, moments(sde, CUT, var)[1])
    start = entropy(np.diag([std**2, 0.04 / 4]))
    naive = excess + float(kernel_entropy(kernel_at(sde))) - start
    assert naive - truth > 0.9
    ours = excess - float(mutual_information(kernel_at(sde), f64(std)))
    assert ours == pytest.approx(truth, abs=1e-7)


@pytest.mark.parametrize("name", ["vp", "vp-short", "ve", "cld", "psld", "hold"])
def test_density_of_the_state(name):
    """``log q(u_e | x)`` of the state that was drawn: a multivariate normal, written out."""
    sde, rows = PROCESSES[name], 50
    kernel, k = kernel_at(sde), sde.phases
    noise = SeededNoise(1, range(rows))
    mean = noise(torch.empty(rows, 2, 3, dtype=torch.float64))
    std = 0.05 + noise.uniform(mean)
    z = mean + std * noise(mean)
    eps = noise(mean.new_empty(rows, k, 2, 3))
    u = kernel.perturb(z, eps)
    got = state_log_q(Latents(z, mean, std, (2,)), kernel, eps)
    want = torch.zeros(rows, dtype=torch.float64)
    m, cov = (torch.from_numpy(part) for part in moments(sde, CUT, 0.0))
    for place in np.ndindex(2, 3):
        spread = cov + std[:, *place, None, None].square() * torch.outer(m, m)
        law = MultivariateNormal(mean[:, *place, None] * m, spread)
        want += law.log_prob(u[:, :, *place])
    assert torch.allclose(got, want, rtol=0, atol=1e-6)


def test_density_of_a_state_in_single_precision():
    """From the draws, not from the state: third order at 0.001 has covariances of 1e-9."""
    sde, rows = PROCESSES["hold"], 200
    kernel, noise = sde.kernel(f64(0.001)), SeededNoise(1, range(rows))
    mean = noise(torch.empty(rows, 4, dtype=torch.float64))
    std = 0.1 + noise.uniform(mean)
    z, eps = mean + std * noise(mean), noise(mean.new_empty(rows, 3, 4))
    want = state_log_q(Latents(z, mean, std, (4,)), kernel, eps)
    few = [part.float() for part in (z, mean, std)]
    got = state_log_q(Latents(*few, (4,)), kernel, eps.float())
    assert got.dtype == torch.float64
    assert torch.allclose(got, want, rtol=0, atol=2e-4)


# The end.


@pytest.mark.parametrize("name", PROCESSES)
def test_prior_divergence(name):
    sde = PROCESSES[name]
    unit, cov = moments(sde, sde.horizon, 0.0)
    z = f64([[0.0, 0.5], [-2.0, 30.0]])
    want = [[divergence(x * unit, cov, prior_of(sde)) for x in row] for row in z.tolist()]
    assert torch.allclose(prior_divergence(sde, z), f64(want), rtol=1e-7, atol=1e-10)
    assert torch.autograd.gradcheck(
        lambda x: prior_divergence(sde, x), z.clone().requires_grad_(), atol=1e-7
    )


@pytest.mark.parametrize(
    ("name", "nats"),
    [
        ("vp", math.exp(-10.05) / 2),
        ("ve", 1 / 50**2 / 2),
        ("cld", math.exp(-16) * (9**2 + 4 * 4**2) / 2),  # Phi of 4 time units, at lam b = 8
        ("hold", 4.4725e-6),
    ],
)
def test_end_of_the_usual_processes(name, nats):
    """What is left at the horizon of a latent of size one: hardly anything."""
    got = float(prior_divergence(PROCESSES[name], f64([1.0])))
    assert got == pytest.approx(nats, rel=2e-4)


# The chain.


def step_laws(sde, t: float, s: float):
    """``q(u_s | u_t, z)``: its covariance, and what of it z moves."""
    (mean_s, cov_s), (mean_t, cov_t) = moments(sde, s, 0.0), moments(sde, t, 0.0)
    gain = cov_s @ transition(sde, s, t)[0].T @ np.linalg.inv(cov_t)
    return cov_s - gain @ cov_t @ gain.T, mean_s - gain @ mean_t


def chain_grid(sde, steps: int) -> Tensor:
    return torch.logspace(0, math.log10(CUT), steps + 1, dtype=torch.float64) * sde.horizon


@pytest.mark.parametrize("name", ["vp", "vp-short", "cld", "psld", "hold"])
@torch.no_grad()
def test_chain_is_the_sum_of_its_steps(name):
    """Each step's ``KL(q(u_s | u_t, z) || q(u_s | u_t, z = E[z | u_t]))``, written out."""
    sde, var, rows = PROCESSES[name], 0.6, 4
    noise = SeededNoise(5, range(rows))
    z = noise.stream("z")(torch.empty(rows, 2, dtype=torch.float64))
    grid = chain_grid(sde, 6)
    got = chain_excess(normal_prior(sde, var, (2,)).reverse(noise), z, noise, grid)
    again, want = SeededNoise(5, range(rows)), torch.zeros(rows, 2, dtype=torch.float64)
    for t, s in pairwise(grid.tolist()):
        u = kernel_at(sde, t).perturb(z, again(z.new_empty(rows, sde.phases, 2)))
        mean, total = moments(sde, t, var)
        guess = torch.einsum("k,bkd->bd", torch.from_numpy(var * np.linalg.solve(total, mean)), u)
        cov, moved = step_laws(sde, t, s)
        want += 0.5 * moved @ np.linalg.solve(cov, moved) * (z - guess).square()
    unit, cov = moments(sde, sde.horizon, 0.0)
    for row, d in np.ndindex(rows, 2):
        want[row, d] += divergence(float(z[row, d]) * unit, cov, prior_of(sde))
    assert torch.allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("name", ["vp", "cld", "hold"])
@torch.no_grad()
def test_chain_comes_down_to_the_diffusion(name):
    """Expected values: above the truth on any grid, first order in its step, and no lower."""
    sde, var, rows = PROCESSES[name], 0.6, 1_500
    total, end = cross_entropy_of(sde, var)
    want = total + end - float(kernel_entropy(kernel_at(sde)))
    noise = SeededNoise(5, range(rows))
    z = var**0.5 * noise.stream("z")(torch.empty(rows, 3, dtype=torch.float64))
    gaps = []
    for steps in (10, 40, 160, 640):
        snr = var * sde.kernel(chain_grid(sde, steps)).snr
        exact = 0.5 * float((snr.diff() / (1 + snr[:-1])).sum() + torch.log1p(snr[0])) + end
        gaps.append(exact - want)
        if steps < 100:
            model = normal_prior(sde, var, (3,))
            rev = model.reverse(noise)
            check_average(chain_excess(rev, z, noise, chain_grid(sde, steps)).mean(1), exact)
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3] > 0
    assert gaps[2] / gaps[3] == pytest.approx(4, rel=0.1)


# What the prior of a plain VAE says, and what is refused.


@pytest.mark.parametrize("name", PROCESSES)
def test_normal_prior(name):
    """Data that are N(0, c) in total at t_min, whatever z is: the divergence, written out."""
    sde = PROCESSES[name]
    z = f64([[-1.5], [0.0], [0.4]]).requires_grad_()
    prior = NormalPrior((1,), sde)
    result = prior.cross_entropy(z, SeededNoise(0, range(3)), 0.7)
    unit, cov = moments(sde, prior.t_min, 0.0)
    total = moments(sde, prior.t_min, sde.data_var())[1]
    want = [divergence(x * unit, cov, total) for x in z[:, 0].tolist()]
    assert torch.allclose(result.excess[:, 0], f64(want), rtol=1e-5)
    result.loss.backward()
    assert float(result.loss.detach()) == 0
    pull = 0.7 * unit @ np.linalg.solve(total, unit)
    assert torch.allclose(z.grad, pull * z.detach(), rtol=1e-6)


def test_state_at_the_cut_off():
    sde = PROCESSES["cld"]
    z = SeededNoise(0, range(2))(torch.empty(2, 3, dtype=torch.float64))
    eps = SeededNoise(1, range(2))(torch.empty(2, 2, 3, dtype=torch.float64))
    kernel = cut_kernel(normal_prior(sde, None, (3,)))
    u, _ = cut_state(kernel, z, SeededNoise(1, range(2)))
    assert torch.equal(u, kernel_at(sde).perturb(z, eps))


@pytest.mark.parametrize("name", PROCESSES)
def test_law_conditioned_on_the_start_is_another(name):
    """Denoising matching is of u_t given u_0: where that is more than z, its loss is too large."""
    sde, noise = PROCESSES[name], SeededNoise(0, range(4))
    model = normal_prior(sde, None, (1,), matching="dsm")
    z = torch.ones(4, 1, dtype=torch.float64)
    if name in ("vp", "subvp"):  # u_0 = z
        hybrid = normal_prior(sde, None, (1,))
        want = hybrid.cross_entropy(z, SeededNoise(0, range(4)), 1.0).excess
        assert torch.allclose(model.cross_entropy(z, noise, 1.0).excess, want, rtol=1e-9)
        return
    with pytest.raises(Incompatible, match="use matching=hsm"):
        model.cross_entropy(z, noise, 1.0)
