"""Likelihoods by the probability flow: identities, bounds, and the trace estimator."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support.golden_solvers_data import MIXTURE, SDES, Items, Law, close, numbers

from sgmkit import Reverse, SeededNoise
from sgmkit.likelihoods import (
    EXACT_TRACE_LIMIT,
    FlowOptions,
    flow_likelihood,
    normal_log_density,
)
from sgmkit.likelihoods.probability_flow import PROBES
from sgmkit_exact.exact import Exact
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP


def points(n, law=MIXTURE, seed=0):
    """Data of a law, by numpy."""
    random, mixture = np.random.default_rng(seed), law.mixture()
    place = random.choice(len(mixture.weights), n, p=mixture.weights.numpy())
    z = random.standard_normal((n, *law.event))
    return mixture.means[place] + mixture.variances[place].sqrt() * torch.from_numpy(z)


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "geometric", "edm"])
def test_one_phase_gives_the_density(name):
    """To the solver's tolerance, once the mismatch of the prior is taken off; raw, to 1e-2."""
    x, model = points(8), Exact(SDES[name], MIXTURE)
    out = model.nll(x, SeededNoise(0, range(8)), rtol=1e-7, atol=1e-7)
    exact = -model.log_prob(x[:, None], torch.tensor(model.t_min, dtype=torch.float64))
    assert close(out.parts["exact"], exact, 1e-12)
    assert float((out.nats - out.parts["mismatch"] - exact).abs().max()) < 2e-6
    raw = float((out.nats - exact).abs().max())
    assert raw == pytest.approx(float(out.parts["mismatch"].abs().max()), abs=1e-5)
    assert 1e-4 < raw < 3e-2
    assert out.kind == "ode"
    assert bool((out.stderr == 0).all())
    assert float(out.parts["log_aux"].abs().max()) == 0
    default = model.nll(x, SeededNoise(0, range(8)))
    assert float((default.nats - out.nats).abs().max()) < 2e-3


@pytest.mark.parametrize("name", ["cld", "cld sloped", "third", "coupled"])
def test_joint_identity(name):
    """nats = -log p(x, v) + mismatch + log q(v | x), for the very v that was drawn."""
    sde, t_min = SDES[name], 0.01
    x, noise = points(4), SeededNoise(5, range(4))
    model = Exact(sde, MIXTURE)
    out = model.nll(x, noise, t_min=t_min, rtol=1e-6, atol=1e-6)
    like = torch.empty(4, sde.phases - 1, 2, dtype=torch.float64)
    z = SeededNoise(5, range(4)).stream("aux")(like)
    kernel = sde.kernel(torch.tensor(t_min, dtype=torch.float64))
    mean, cov = kernel.mean[1:], kernel.cov[1:, 1:]
    v = mean[:, None] * x[:, None] + torch.linalg.cholesky(cov) @ z
    law_v = [
        stats.multivariate_normal((mean * x[row, d]).numpy(), cov.numpy()).logpdf(v[row, :, d])
        for row in range(4)
        for d in range(2)
    ]
    log_q = torch.tensor(law_v, dtype=torch.float64).reshape(4, 2).sum(1)
    assert close(out.parts["log_aux"], log_q, 1e-11)
    u = torch.cat([x[:, None], v], 1)
    joint = model.log_prob(u, torch.tensor(t_min, dtype=torch.float64))
    assert close(out.nats, -joint + out.parts["mismatch"] + log_q, 1e-4)


def test_two_phases_give_the_density_on_average():
    """v from its law at the cut-off costs nothing; from N(0, gamma M), .07 nats a dimension."""
    n, model = 256, Exact(CLD(), MIXTURE)
    out = model.nll(points(n), SeededNoise(1, range(n)), t_min=1e-3)
    assert abs(float((out.nats - out.parts["exact"]).mean())) < 1e-3
    assert abs(float((out.nats - out.parts["mismatch"] - out.parts["exact"]).mean())) < 1e-3


def test_two_phases_are_unbiased_draw_by_draw():
    """At a coarse cut-off too, p(x, v) / q(v | x) has the mean p(x): a bound, by Jensen."""
    n, model = 512, Exact(CLD(), MIXTURE)
    x = points(4).repeat_interleave(n // 4, 0)
    out = model.nll(x, SeededNoise(1, range(n)), t_min=0.05, rtol=1e-4, atol=1e-4)
    error = (out.nats - out.parts["mismatch"] - out.parts["exact"]).reshape(4, -1)
    weights, count = (-error).exp(), n // 4
    assert float(weights.std()) > 0.1
    assert bool(((weights.mean(1) - 1).abs() < 4 * weights.std(1) / count**0.5).all())
    assert bool((error.mean(1) > -4 * error.std(1) / count**0.5).all())


def test_trace_is_estimated_within_its_error():
    """64 probes against the exact trace: unbiased, and the stated error is the true one."""
    rows, law = 64, Law([0.5, 0.5], [[-1.0] * 6, [0.7] * 6], [[0.1] * 6, [0.3] * 6])
    model, x = Exact(VP(), law), points(rows, law)
    options = {"rtol": 1e-4, "atol": 1e-4}
    exact = model.nll(x, SeededNoise(0, range(rows)), probes=0, **options)
    guess = model.nll(x, SeededNoise(0, range(rows)), probes=64, **options)
    score = ((guess.nats - exact.nats) / guess.stderr).square().mean().sqrt()
    assert 0.75 < float(score) < 1.25
    pooled = (guess.nats - exact.nats).mean() / (guess.stderr.square().sum().sqrt() / rows)
    assert abs(float(pooled)) < 4
    fewer = model.nll(x, SeededNoise(0, range(rows)), probes=4, **options)
    assert float(fewer.stderr.square().mean().sqrt()) > 3 * float(guess.stderr.mean())


def test_trace_is_exact_up_to_sixteen_driven_coordinates():
    def out(sde, size, probes=None):
        model = Exact(sde, Items(numbers(4, size)), bandwidth=0.5)
        x = numbers(1, size, seed=1)
        return model.nll(x, SeededNoise(0, [5]), rtol=1e-2, atol=1e-2, probes=probes)

    assert (EXACT_TRACE_LIMIT, PROBES) == (16, 8)
    assert float(out(VP(), 16).stderr) == 0
    assert float(out(CLD(), 16).stderr) == 0  # the velocity alone is driven
    assert float(out(SDES["coupled"], 8).stderr) == 0
    assert float(out(SDES["coupled"], 9).stderr) > 0
    many = out(VP(), 17)
    assert float(many.stderr) > 0
    assert torch.equal(many.nats, out(VP(), 17, probes=PROBES).nats)
    assert float(out(VP(), 17, probes=0).stderr) == 0
    assert math.isnan(float(out(VP(), 2, probes=1).stderr))  # one probe leaves it unknown


def test_rows_do_not_see_each_other():
    model, x = Exact(CLD(), MIXTURE), points(6)
    whole = model.nll(x, SeededNoise(4, range(6)), probes=2, rtol=1e-3, atol=1e-3)
    for row in (0, 5):
        one = SeededNoise(4, [row])
        alone = model.nll(x[row : row + 1], one, probes=2, rtol=1e-3, atol=1e-3)
        assert close(alone.nats, whole.nats[row : row + 1], 1e-10)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("name", ["subvp", "cld"])
def test_gradients_are_the_callers_own_business(name, mode):
    def nll():
        model = Exact(SDES[name], MIXTURE)
        return model.nll(points(2), SeededNoise(0, range(2)), rtol=1e-3, atol=1e-3)

    reference = nll()
    with mode():
        assert torch.equal(nll().nats, reference.nats)
    assert not reference.nats.requires_grad


def test_single_precision():
    x = points(3)
    noise = SeededNoise(0, range(3))
    out = Exact(VP(), MIXTURE, dtype="float32").nll(x, noise, rtol=1e-4, atol=1e-4)
    assert out.nats.dtype == torch.float32
    assert float((out.nats - out.parts["exact"]).abs().max()) < 2e-2


def test_labels_reach_the_rows_they_belong_to():
    """Two classes, N(-1, .25) and N(1, .04), that finish at different times."""
    sde, labels = VP(), torch.tensor([0, 1, 1, 0, 1])
    models = [
        Exact(sde, Law([1.0], [[mean]], [[var]])) for mean, var in ((-1.0, 0.25), (1.0, 0.04))
    ]
    counted = torch.zeros(5, dtype=torch.int64)

    def narrow(index):
        def predict(u, t):
            assert len(u) == len(index)
            counted[index] += 1
            both = torch.stack([model.eps(u, t) for model in models])
            return both[labels[index], torch.arange(len(u))]

        return predict

    noise = SeededNoise(0, range(5))
    rev = Reverse(sde, narrow(torch.arange(5)), noise, narrow)
    x = torch.tensor([[-1.2], [0.9], [1.4], [0.3], [-0.5]], dtype=torch.float64)
    out = flow_likelihood(rev, x, noise, 1e-3, FlowOptions(rtol=1e-7, atol=1e-7))
    cut = torch.tensor(1e-3, dtype=torch.float64)
    for label, model in enumerate(models):
        own = labels == label
        mismatch = model.log_prob(out.parts["u_T"][own], torch.tensor(1.0, dtype=torch.float64))
        mismatch = mismatch - normal_log_density(out.parts["u_T"][own], sde.prior_cov())
        assert close(out.nats[own] - mismatch, -model.log_prob_data(x[own], cut), 1e-5)
    assert torch.equal(rev.calls, counted)
    assert len(counted.unique()) > 1


def test_normal_density():
    u, cov = numbers(3, 2, 4), torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
    expected = stats.multivariate_normal([0, 0], cov.numpy()).logpdf(u.mT.numpy()).sum(1)
    np.testing.assert_allclose(normal_log_density(u, cov).numpy(), expected, rtol=1e-12)
