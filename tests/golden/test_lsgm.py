r"""LSGM's training objectives and discrete bound, from the numbers of its public code.

Each case is one official training step on recorded draws, run here through `Lsgm` with a stub for
the autoencoder and one for the network. The official step

- takes ``log q(z_0 | x)`` for the encoder's part, as ours does behind a flow: the stub's flow is
  the identity;
- leaves out what the horizon still knows, ours adds `prior_divergence`: taken away here, in closed
  form;
- weighs with the inverse of a density of t that is not one in two of its modes: FACTOR is by how
  much, and the right density is checked. Uniform times: it leaves out the length 1 - e.
  drop_all_iw of VP: a factor beta_0 is lost in an exponent of the normaliser;
- has no prior's loss of its own where both have the likelihood weighting (Algorithm 1): the
  divergence's weights are then in the prior's gradient, as they never are in ours;
- offers rescale_iw, uniform times with ``|e|^2 / (2 (1 - v))``, which is no weighting of ours: its
  encoder's part is held, and the prior's loss with that weight put in.
"""

import math

import numpy as np
import pytest
import torch
from support.golden_data import LSGM, LSGM_CASES, LSGM_TIME_EPS, REUSED, load
from support.golden_lsgm_steps import (
    PIXELS,
    PROGRESS,
    ROWS,
    SCHEDULE,
    SIZE,
    WRONG,
    Step,
    density,
    factor,
    normaliser,
)
from support.golden_solvers_data import MIXTURE
from support.processes import f64
from torch import Tensor

from sgmkit import Batch, RecordedNoise, SeededNoise
from sgmkit.likelihoods import chain_excess
from sgmkit.processes import prior_divergence, weighted_error
from sgmkit_exact.exact import Exact
from sgmkit_lsgm.annealing import balance, coefficient
from sgmkit_lsgm.divergence import by_group, cut_kernel, own_entropy

CASES = list(LSGM_CASES)
MODES = sorted(
    {
        (case.sde, mode)
        for case in LSGM_CASES.values()
        for mode in (case.prior, case.encoder)
        if mode != REUSED
    }
)


def near(got: Tensor, want: Tensor) -> bool:
    assert got.shape == want.shape
    return torch.allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_right_densities(name, mode):
    """They integrate to one; the official weights are the factor's inverse too large."""
    cut = LSGM_TIME_EPS[name]
    nodes, weights = (f64(part) for part in np.polynomial.legendre.leggauss(400))
    middle = cut + (1 - cut) * (nodes + 1) / 2
    mass = float((density(name, mode, middle) * weights).sum()) * (1 - cut) / 2
    assert mass == pytest.approx(1.0, rel=1e-8)
    assert factor(name, mode) in (1.0, WRONG, 1 / 0.99)
    assert (WRONG, normaliser(0.01)) == pytest.approx((1.002263865214572, 0.26600370228397047))


@pytest.mark.parametrize("name", CASES)
def test_divergence(name):
    """log q + CE by group, its weights, and what they make of it."""
    step, want = Step(name), Step(name).golden
    model, prior = step.model, step.model.prior
    top, finer = model.autoencoder.encode(step.batch.x, step.noise)
    prior_noise = step.noise.stream("prior")
    with torch.no_grad():
        entropy = prior.cross_entropy(top.z, prior_noise, 1.0, separate=step.separate)
        nats = entropy.excess - prior_divergence(prior.sde, top.z)
        nats = nats + own_entropy(top, cut_kernel(prior))
        groups = torch.cat([by_group(nats, top), by_group(finer.divergence, finer)], 1)
        log_q = (top.log_q.flatten(1).sum(1) + finer.log_q.flatten(1).sum(1)).detach()
    assert near(groups, want["kl_groups"])
    assert near(log_q, want["neg_entropy"])
    assert near(groups.sum(1) - log_q, want["cross_entropy"])
    gains = balance(groups, (2, 2)) if step.case.balanced else torch.ones(4).double()
    assert near(gains, want["kl_coeffs"])
    rate = coefficient(PROGRESS, *SCHEDULE.values()) if step.case.annealed else 1.0
    assert rate == pytest.approx(step.rate, rel=1e-12)
    assert near(f64(step.rate), want["scalars"][2])
    balanced = rate * (groups * gains).sum(1)
    assert near(balanced, want["balanced_kl"])
    logits = model.autoencoder.decode([top.z]).detach()
    recon = -model.observation.log_prob(logits, step.batch.x)
    assert near(recon, want["recon"])
    assert near(recon + balanced, want["nelbo"])
    assert near((recon + balanced).mean(), want["scalars"][0])


@pytest.mark.parametrize("name", CASES)
def test_errors_and_the_priors_loss(name):
    step = Step(name)
    want, prior = step.golden, step.model.prior
    square, _ = step.errors(encoder=False)
    rows = square.detach().flatten(1).sum(1)
    assert near(rows, want["l2"][:ROWS])
    if "t_q" in want:
        other = step.errors(encoder=True)[0].detach().flatten(1).sum(1)
        assert near(other, want["l2_q"] if "l2_q" in want else want["l2"][ROWS:])
    top = step.model.autoencoder.encode(step.batch.x, step.noise)[0]
    match = prior.match(Batch(top.z.detach(), None, step.batch.ids), step.noise.stream("prior"))
    own = (weighted_error(match.weight, match.error) / match.density).detach()
    assert near(own, want["p_objective"])
    loss = step.model.loss(step.batch, step.noise, PROGRESS)
    assert near(SIZE * loss.parts["prior"], want["scalars"][1])  # ours is of a coordinate


@pytest.mark.parametrize("name", CASES)
def test_parts_of_the_loss(name):
    """With weight one, and what the horizon still knows."""
    step = Step(name)
    want, loss = step.golden, step.model.loss(step.batch, step.noise, PROGRESS)
    top = step.model.autoencoder.encode(step.batch.x, step.noise)[0]
    end = prior_divergence(step.model.prior.sde, top.z.detach()).flatten(1).sum(1)
    assert near(loss.parts["recon"], want["recon"].mean())
    kl = want["kl_groups"].sum(1) + end
    assert near(loss.parts["kl"], kl.mean())
    assert near(loss.parts["nelbo"], (want["recon"] + kl).mean())


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_the_prior(name):
    """In the network's scale and the shares of the mixed score, after both backward passes."""
    step = Step(name)
    want, model = step.golden, step.model
    own = {"grad_scale": model.prior.network.scale}
    if step.case.mixed:
        own["grad_mixing_logit"] = model.prior.mixing_logit
    loss = model.loss(step.batch, step.noise, PROGRESS).total
    ours = [SIZE * slope for slope in torch.autograd.grad(loss, list(own.values()))]
    if step.case.same:
        _, nats = step.errors(encoder=False)
        gains = want["kl_coeffs"][:2].repeat_interleave(2)[:, None, None]
        weighted = step.rate * (gains * nats).sum() / ROWS
        theirs = torch.autograd.grad(weighted, list(own.values()))
        if not step.case.balanced:  # one factor tells theirs from ours
            assert all(near(step.rate * a, b) for a, b in zip(ours, theirs, strict=True))
        ours = list(theirs)
    for key, slope in zip(own, ours, strict=True):
        assert near(slope.flatten(), want[key])


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_the_encoder(name):
    """In the means of the coarse latents.

    What the horizon knows is in the sizes that ours balances by; the stub network keeps channels
    apart, so that each gradient has its group's weight for a factor. In the joint loop where both
    share times but not weightings the official z is not detached, so that the gradient of the
    prior's loss is left on the encoder as well.
    """
    step = Step(name)
    want, model, prior = step.golden, step.model, step.model.prior
    shift = model.autoencoder.shift
    (slope,) = torch.autograd.grad(model.loss(step.batch, step.noise, PROGRESS).total, shift)
    top = model.autoencoder.encode(step.batch.x, step.noise)[0]
    end = prior_divergence(prior.sde, top.z)
    groups = want["kl_groups"].clone()
    groups[:, :2] += by_group(end.detach(), top)
    ours = balance(groups, (2, 2)) if step.case.balanced else torch.ones(4).double()
    ours, theirs = (gains[:2].repeat_interleave(2) for gains in (ours, want["kl_coeffs"]))
    (more,) = torch.autograd.grad(step.rate * end.sum() / ROWS, shift)
    got = theirs * (PIXELS * slope / ours - more)
    if step.name.startswith("joint") and step.case.encoder == REUSED and not step.case.same:
        z = model.autoencoder.encode(step.batch.x, step.noise)[0].z
        problem = prior.problem
        at = problem.perturb(z, step.noise.stream("prior"), problem.weighting)
        weight = problem.weight(at, problem.weighting)
        own = problem.objective(at.density, weight, prior(at)).total
        (left,) = torch.autograd.grad(SIZE * own, shift)
        got = got + left
    assert near(got, want["grad_shift"])


STEPS = 25


@pytest.mark.parametrize("name", ["geometric", "vpsde"])
@torch.no_grad()
def test_discrete_bound(name):
    r"""`chain_excess` is their sum of divergences, with the posterior variance (``beta_post``).

    They end at t = 1/25 in a Normal density of z_0, of the first variance, around its estimate;
    ours ends in u_e, whose cross entropy it is. Their chain scales z_0 by ``sqrt(1 - v)``, ours by
    m: the same but for the variance of a noisy start. With variances ``beta`` a step's nats shrink
    by ``b = beta_post / beta`` and a constant ``1/2 (b - 1 - log b)`` is added.
    """
    golden, sde = load("lsgm_ode_discrete"), LSGM[name]
    unit = math.sqrt(sde.data_var())
    z, pool = unit * golden["x"], golden[f"{name}_disc_noise"]
    schedule = {
        key: golden[f"{name}_disc25_{key}"] for key in ("betas", "betas_post", "alpha_bars")
    }
    grid = torch.arange(STEPS, 0, -1).double() / STEPS
    rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(len(z))))
    noise = RecordedNoise([draw[:, None] for draw in pool[1:]])
    first, end = sde.kernel(grid[-1]), prior_divergence(sde, z)
    assert near(first.mean[0].square() * sde.data_var(), schedule["alpha_bars"][0])
    whole = chain_excess(rev, z, noise, grid)
    u = first.mean * z[:, None] + first.chol[0] * noise(z[:, None])
    away = (z - rev.denoise(u, grid[-1])) / unit

    def last(var: Tensor) -> Tensor:
        return 0.5 * (torch.log(2 * math.pi * var) + away.square() / var)

    total = whole + last(schedule["betas_post"][0])
    assert near(total.sum(1), golden[f"{name}_disc_nelbo_beta_post"])
    again = RecordedNoise([draw[:, None] for draw in pool[1:]])
    total = end + last(schedule["betas"][0])
    shares = (schedule["betas_post"] / schedule["betas"]).flip(0)
    for place, share in enumerate(shares[:-1]):
        cost = chain_excess(rev, z, again, grid[place : place + 2]) - end
        total = total + share * cost + 0.5 * (share - 1 - share.log())
    assert near(total.sum(1), golden[f"{name}_disc_nelbo_beta"])
