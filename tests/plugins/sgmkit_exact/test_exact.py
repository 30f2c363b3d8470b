"""The exact model: its scores, densities and draws, against sums over components."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from support.golden_data import load
from support.golden_solvers_data import (
    MIXTURE,
    SDES,
    Items,
    Law,
    close,
    numbers,
    phases,
    times,
)

from sgmkit import RecordedNoise, SeededNoise
from sgmkit.errors import Incompatible
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP

CASES = [(name, place) for name in SDES for place in (1e-3, 0.1, 0.5, 1.0)]


def states(sde, t, rows=5, seed=0):
    """Plausible states at t, ``(rows, k, 2)``: data of the mixture's size, the kernel's noise."""
    kernel, k = sde.kernel(t), sde.phases
    z = numbers(rows, k + 1, 2, seed=seed)
    return kernel.mean[:, None] * z[:, :1] + kernel.chol @ z[:, 1:]


def brute_log_prob(sde, law, u, t):
    """log p_t(u) as a sum of joint Gaussians over phases and coordinates, by scipy."""
    kernel = sde.kernel(t)
    total = np.zeros(len(u))
    for w, mu, var in zip(law.weights, law.means, law.variances, strict=True):
        density = np.ones(len(u))
        for d in range(len(mu)):
            mean = (kernel.mean * mu[d]).numpy()
            cov = kernel.cov + var[d] * kernel.mean[:, None] * kernel.mean
            density = density * stats.multivariate_normal(mean, cov.numpy()).pdf(u[:, :, d].numpy())
        total += float(w) * density
    return np.log(total)


@pytest.mark.parametrize(("name", "place"), CASES)
def test_density_is_the_sum_over_components(name, place):
    sde = SDES[name]
    (t,) = times(sde, place)
    u = states(sde, t)
    ours = Exact(sde, MIXTURE).log_prob(u, t).numpy()
    np.testing.assert_allclose(ours, brute_log_prob(sde, MIXTURE.mixture(), u, t), atol=1e-8)


@pytest.mark.parametrize(("name", "place"), CASES)
def test_noise_is_the_gradient_of_the_density(name, place):
    """eps_d = -L_dd^T grad_d log p, by autograd; for one time and for a time of each row."""
    sde = SDES[name]
    (t,) = times(sde, place)
    model, r = Exact(sde, MIXTURE), sde.driven
    u = states(sde, t).requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.log_prob(u, t).sum(), u)
    expected = -sde.kernel(t).chol[-r:, -r:].mT @ gradient[:, -r:]
    assert close(model.eps(u.detach(), t), expected, 1e-8)
    rows = model.eps(u.detach(), t.expand(5))
    assert close(rows, expected, 1e-8)


@pytest.mark.parametrize("name", SDES)
def test_score_and_flow_carry_the_density(name):
    """The density falls along the flow by its divergence: d/dt log p + f . grad log p + div f = 0.

    A check on drift, diffusion, score and kernel together, for every process.
    """
    sde = SDES[name]
    (t,) = times(sde, 0.4)
    model = Exact(sde, MIXTURE)
    rev = model.reverse(SeededNoise(0, range(3)))
    u = states(sde, t, 3).requires_grad_(True)
    flow = rev.velocity(u, t)
    divergence = torch.zeros(3, dtype=torch.float64)
    for i in range(u[0].numel()):
        (line,) = torch.autograd.grad(flow.flatten(1)[:, i].sum(), u, retain_graph=True)
        divergence = divergence + line.flatten(1)[:, i]
    (gradient,) = torch.autograd.grad(model.log_prob(u, t).sum(), u)
    h = 1e-5 * sde.horizon
    slope = (model.log_prob(u, t + h) - model.log_prob(u, t - h)) / (2 * h)
    total = slope + (flow * gradient).flatten(1).sum(1) + divergence
    scale = slope.abs() + divergence.abs()
    assert float((total.abs() / scale).detach().max()) < 1e-6


@pytest.mark.parametrize("name", SDES)
def test_denoised_data_are_the_posterior_mean(name):
    """E[x | u] of one coordinate, by quadrature over x."""
    sde, law = SDES[name], Law([0.4, 0.6], [[-1.0], [0.8]], [[0.09], [0.25]])
    x = np.linspace(-5.0, 5.0, 4001)
    prior = 0.4 * stats.norm.pdf(x, -1.0, 0.3) + 0.6 * stats.norm.pdf(x, 0.8, 0.5)
    rev = Exact(sde, law).reverse(SeededNoise(0, range(5)))
    for place in (0.2, 0.6):
        (t,) = times(sde, place)
        u, kernel = states(sde, t)[:, :, :1], sde.kernel(t)
        rest = u[:, :, 0].numpy()[:, None] - x[:, None] * kernel.mean.numpy()
        distance = np.einsum("bnk,kl,bnl->bn", rest, np.linalg.inv(kernel.cov.numpy()), rest)
        weight = prior * np.exp(-distance / 2)
        mean = (weight * x).sum(1) / weight.sum(1)
        np.testing.assert_allclose(rev.denoise(u, t)[:, 0].numpy(), mean, atol=1e-9)


@pytest.mark.parametrize("name", ["s0", "s1"])
def test_reference_densities_and_scores(name):
    """CLD's joint density and its score in v, of the reference set's own formulas."""
    golden = load(f"cld_sampler_{name}")
    options = {"s0": {}, "s1": {"beta_0": 1.0, "beta_1": 6.0, "m_inv": 2.5, "gamma": 0.1}}[name]
    model = Exact(CLD(numerical_eps=0.0, **options), MIXTURE)
    u, t = phases(golden["probe_u"]), golden["probe_t"]
    assert close(model.log_prob(u, t), golden["probe_logp"], 1e-10)
    score = model.reverse(SeededNoise(0, range(16))).score(u, t)
    assert close(score[:, 0], phases(golden["probe_score"])[:, 1], 1e-9)


@pytest.mark.parametrize("name", ["vp", "cld sloped", "third"])
def test_density_of_the_data_phase(name):
    """Integrates to one, and is the joint density with the auxiliary phases integrated out."""
    law = Law([0.4, 0.6], [[-1.0], [0.8]], [[0.09], [0.25]])
    sde = SDES[name]
    model = Exact(sde, law)
    (t,) = times(sde, 0.3)
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    density = model.log_prob_data(x[:, None], t).exp()
    assert float(torch.trapezoid(density, x)) == pytest.approx(1.0, abs=1e-10)
    if sde.phases == 2:
        place = torch.tensor([[0.3]], dtype=torch.float64)

        def joint(v):
            u = torch.tensor([[[0.3], [v]]], dtype=torch.float64)
            return float(model.log_prob(u, t).exp())

        total, _ = integrate.quad(joint, -9, 9, epsabs=1e-12)
        assert float(model.log_prob_data(place, t).exp()) == pytest.approx(total, rel=1e-9)


def test_density_of_the_data_phase_where_the_mean_is_negative():
    """Underdamped processes carry the data through zero."""

    class Underdamped(CLD):
        drift_matrix = ((0.0, 4.0), (-1.0, -0.8))
        noise_matrix = ((0.0, 0.0), (0.0, 0.4))

    sde, law = Underdamped(), Law([1.0], [[0.5]], [[0.04]])
    (t,) = times(sde, 0.3)
    kernel = sde.kernel(t)
    mean, var = float(kernel.mean[0]), float(kernel.cov[0, 0])
    assert mean < 0
    x = torch.tensor([[0.1], [-0.7]], dtype=torch.float64)
    expected = stats.norm.logpdf(x[:, 0], 0.5 * mean, math.sqrt(var + 0.04 * mean**2))
    np.testing.assert_allclose(Exact(sde, law).log_prob_data(x, t), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["vp", "ve", "cld", "third"])
def test_start_follows_the_law_at_the_horizon(name):
    """Moments of u_T within four standard errors, and the density's mean value is its entropy."""
    sde, n = SDES[name], 20_000
    model = Exact(sde, MIXTURE)
    u = model.start(SeededNoise(3, range(n)), "exact")
    kernel, law = sde.kernel(times(sde, 1.0)[0]), MIXTURE.mixture()
    mean = law.weights @ law.means
    var = law.weights @ (law.variances + law.means.square()) - mean.square()
    for d in range(2):
        expected = kernel.mean * mean[d]
        cov = kernel.cov + var[d] * kernel.mean[:, None] * kernel.mean
        error = (u[:, :, d].mean(0) - expected) / (cov.diagonal() / n).sqrt()
        assert float(error.abs().max()) < 4
        scaled = (u[:, :, d] - expected) / cov.diagonal().sqrt()
        products = scaled[:, :, None] * scaled[:, None]
        wanted = cov / (cov.diagonal()[:, None] * cov.diagonal()).sqrt()
        assert float(((products.mean(0) - wanted) / (products.std(0) / n**0.5)).abs().max()) < 4


def test_start_picks_components_by_weight_and_takes_recorded_noise():
    """Quantiles choose the component, the next draw is the data's, the last the kernel's."""
    sde = VP()
    quantiles = torch.tensor([[0.1], [0.299], [0.301], [0.749], [0.751], [0.9999]]).double()
    z, eps = numbers(6, 2), numbers(6, 1, 2, seed=1)
    u = Exact(sde, MIXTURE).start_exactly(RecordedNoise([quantiles, z, eps]))
    law, kernel = MIXTURE.mixture(), sde.kernel(times(sde, 1.0)[0])
    place = torch.tensor([0, 0, 1, 1, 2, 2])
    x = law.means[place] + law.variances[place].sqrt() * z
    assert close(u, kernel.mean[0] * x[:, None] + kernel.chol[0, 0] * eps, 1e-14)


def test_prior_start_has_the_prior_covariance():
    sde = SDES["coupled"]
    z = numbers(4, 2, 2)
    u = Exact(sde, MIXTURE).start(RecordedNoise([z]))
    root = torch.linalg.cholesky(torch.linalg.inv(torch.tensor(sde.precision, dtype=torch.float64)))
    assert close(u, root @ z, 1e-14)


def test_bandwidth():
    items = numbers(7, 2)
    assert Exact(VP(), Items(items)).channel.variance == pytest.approx(0.01)
    assert Exact(VP(), Items(items), bandwidth=0.0).channel.variance == 0
    law = MIXTURE.mixture()
    assert torch.equal(Exact(VP(), MIXTURE).channel.variances, law.variances)
    blurred = Exact(VP(), MIXTURE, bandwidth=0.5).channel.variances
    assert close(blurred, law.variances + 0.25, 1e-15)


def test_single_precision_states():
    (t,) = times(SDES["cld"], 0.3)
    model = Exact(SDES["cld"], MIXTURE, dtype="float32")
    u = states(SDES["cld"], t).float()
    assert model.eps(u, t).dtype == torch.float32
    assert model.start(SeededNoise(0, range(2))).dtype == torch.float32
    assert model.start(SeededNoise(0, range(2)), "exact").dtype == torch.float32
    reference = Exact(SDES["cld"], MIXTURE).eps(u.double(), t)
    assert close(model.eps(u, t).double(), reference, 1e-6)


def test_labels_are_refused():
    with pytest.raises(Incompatible) as caught:
        Exact(VP(), MIXTURE).reverse(SeededNoise(0, range(2)), torch.zeros(2))
    assert str(caught.value) == "the exact model has no classes; leave the labels out"


def test_data_without_a_law():
    class Nothing(Law):
        def __init__(self):
            self.event = (2,)

        def mixture(self):
            return None

    with pytest.raises(Incompatible) as caught:
        Exact(VP(), Nothing())
    assert str(caught.value) == "Nothing states no law and has no items to build an empirical law"
