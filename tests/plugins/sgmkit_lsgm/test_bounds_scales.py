"""Latents of two scales: the finer ones are drawn for samples, and every bound counts them.

Their law is the same for all data, so that their cost is one divergence of Normals; the decoder
adds ``gains`` times the latents of each scale to its bias.
"""

import pytest
import torch
from support.intervals import check
from support.normal_aggregates import PROCESSES, divergence, moments
from support.two_scales import BIAS, COARSE, CUT, FINE, ROWS, STD, UNIT, X, model_of
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from sgmkit import SeededNoise


def rows(count: int = ROWS) -> tuple[Tensor, SeededNoise]:
    return X.expand(count, 2), SeededNoise(4, range(count))


def test_samples_have_the_spread_of_the_finer_latents():
    """In means of the decoder and in draws of it; without noise there is none."""
    model, count = model_of(gains=(0.5, 0.9)), 4000
    u = torch.ones(count, 1, 2, 1, dtype=torch.float64)
    noise = SeededNoise(2, range(count))
    assert torch.allclose(model.decode(u), (BIAS + 0.5).expand(count, 2), rtol=1e-12, atol=0)
    for x, var in ((model.decode(u, noise), 0.81), (model.observe(u, noise), 0.81 + STD**2)):
        assert torch.allclose(x.mean(0), BIAS + 0.5, rtol=0, atol=4 * (var / count) ** 0.5)
        error = x.T.cov() / var - torch.eye(2)
        assert float(error.abs().max()) < 4 * (2 / count) ** 0.5


@pytest.mark.parametrize("kind", ["nelbo-ode", "nelbo-diffusion", "nelbo-chain"])
def test_bounds_count_the_finer_latents(kind):
    """Beside the same bound for a law of N(0, I), on the same draws."""
    grid, values = torch.linspace(1, CUT, 4, dtype=torch.float64), []
    for fine in (FINE, UNIT):
        model, (x, noise) = model_of(fine=fine), rows()
        if kind == "nelbo-ode":
            bound = model.nll(x, noise)
        else:
            bound = model.bound(x, noise, kind, **({"grid": grid} if "chain" in kind else {}))
        assert bound.kind == kind
        values.append(bound.nats)
    want = float(kl_divergence(FINE, UNIT).sum())
    assert want > 1
    check(values[0] - values[1], want)


def test_importance_weights_count_the_finer_latents():
    """They average to the likelihood, a Normal one."""
    gains, count = (0.6, 0.8), 600
    model, (x, noise) = model_of(gains=gains), rows(count)
    values = model.bound(x, noise, "iw-ode", 4, rtol=1e-4, atol=1e-4)
    var = gains[0] ** 2 + gains[1] ** 2 + STD**2
    likelihood = float(Normal(BIAS, var**0.5).log_prob(X).sum())
    check(torch.exp(-values.nats - likelihood), 1.0)


@pytest.mark.parametrize("cut", [None, 0.6])
@pytest.mark.parametrize("name", ["vp", "cld"])
def test_likelihoods_end_at_the_cut_off(name, cut):
    """The coarse latents' cost is the divergence of the state's law at the cut-off."""
    model, (x, noise) = model_of(name, UNIT), rows(200)
    unit, cov = moments(PROCESSES[name], cut or CUT, 0.0)
    _, total = moments(PROCESSES[name], cut or CUT, PROCESSES[name].data_var())
    want = -float(Normal(BIAS, STD).log_prob(X).sum())
    for mean, std in zip(COARSE.mean.tolist(), COARSE.stddev.tolist(), strict=True):
        own = cov + std**2 * unit[:, None] * unit
        want += divergence(mean * unit, own, total)
    check(model.nll(x, noise, rtol=1e-4, atol=1e-4, t_min=cut).nats, want)
