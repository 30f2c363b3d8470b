r"""Bounds of a joint model's likelihood, where that is a Gaussian integral.

``x = W u_e + b`` and noise, u_e of the prior N(0, 1) at t = 0, and an encoder of two groups, the
second given the first: every bound's expected value is closed form, and so is the likelihood that
importance weights average to.
"""

import math
from functools import cache

import pytest
import torch
from support.intervals import check
from support.normal_aggregates import PROCESSES, moments
from support.processes import f64
from torch import Tensor
from torch.distributions import MultivariateNormal

from sgmkit import Autoencoder, Latents, SeededNoise
from sgmkit_lsgm.lsgm import Lsgm
from sgmkit_lsgm.normal import Normal

ROWS, CUT = 2_500, 0.12
NAMES = ["vp", "cld", "psld"]
X = f64([0.7, -1.1])
WEIGHT, BIAS, STD = f64([[0.8, 0.3], [-0.5, 1.1]]), f64([0.2, -0.1]), 0.7
FIRST, SECOND, TURN = (0.4, 0.6), (-0.5, 0.5), 0.45


class Linear(Autoencoder):
    """``z_1 ~ N(.4, .6^2)`` and ``z_2 ~ N(-.5 + .45 z_1, .5^2)``, whatever the data."""

    scales = ((2, 1),)

    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.like = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def encode(self, x, noise):
        draws = noise(x.new_empty(len(x), 2))
        one = FIRST[0] + FIRST[1] * draws[:, 0]
        mean = torch.stack([torch.full_like(one, FIRST[0]), SECOND[0] + TURN * one], 1)
        std = f64([FIRST[1], SECOND[1]]).expand(len(x), 2)
        z = mean + std * draws
        return (Latents(*(part[..., None] for part in (z, mean, std)), (1, 1)),)

    def decode(self, z):
        mean = z[0][..., 0] @ WEIGHT.T + BIAS
        log_std = 7 * math.atanh(math.log(STD) / 7)  # the law bounds it
        return torch.cat([mean, torch.full_like(mean, log_std)], 1)


def model_of(name: str) -> Lsgm:
    def prior(event):
        made = Normal(event, PROCESSES[name]).double()
        made.t_min = CUT
        return made

    return Lsgm((2,), "continuous", None, Linear, prior).double().eval()


@cache
def setting(name: str) -> tuple[Tensor, ...]:
    """``m_e``, ``S_e``, the prior's covariance of u_e, and mean and covariance of z."""
    unit, cov = (f64(part.tolist()) for part in moments(PROCESSES[name], CUT, 0.0))
    total = cov + PROCESSES[name].data_var() * torch.outer(unit, unit)
    mean = f64([FIRST[0], SECOND[0] + TURN * FIRST[0]])
    mix = f64([[FIRST[1], 0.0], [TURN * FIRST[1], SECOND[1]]])
    return unit, cov, total, mean, mix @ mix.T


def likelihood(name: str) -> float:
    """``-log p(x)``."""
    *_, total, _, _ = setting(name)
    cov = total[0, 0] * WEIGHT @ WEIGHT.T + STD**2 * torch.eye(2)
    return -float(MultivariateNormal(BIAS, cov).log_prob(X))


def reconstruction(name: str) -> float:
    unit, cov, _, mean, spread = setting(name)
    away = X - unit[0] * WEIGHT @ mean - BIAS
    seen = unit[0] ** 2 * spread + cov[0, 0] * torch.eye(2)
    square = away.square().sum() + (WEIGHT @ seen @ WEIGHT.T).trace()
    return float(0.5 * square / STD**2 + math.log(2 * math.pi * STD**2))


def bound(name: str) -> float:
    """Reconstruction and cross entropy of u_e, less the groups' entropies given clean ones."""
    unit, cov, total, mean, spread = setting(name)
    eye = torch.eye(2).double()
    law = torch.kron(spread, torch.outer(unit, unit)) + torch.kron(eye, cov)
    middle = torch.kron(mean, unit)
    inverse = torch.kron(eye, torch.linalg.inv(total).contiguous())
    cross = 0.5 * (inverse * (law + torch.outer(middle, middle))).sum()
    cross = cross + torch.logdet(2 * math.pi * total)
    for std in (FIRST[1], SECOND[1]):
        own = cov + std**2 * torch.outer(unit, unit)
        cross = cross - 0.5 * torch.logdet(2 * math.pi * math.e * own)
    return reconstruction(name) + float(cross)


def rows() -> tuple[Tensor, SeededNoise]:
    return X.expand(ROWS, 2), SeededNoise(4, range(ROWS))


@pytest.mark.parametrize("name", NAMES)
def test_by_the_flow(name):
    """The mean of one draw, and the mean of its exponentials: the likelihood itself."""
    model, (x, noise) = model_of(name), rows()
    result = model.nll(x, noise, rtol=1e-5, atol=1e-5)
    assert result.kind == "nelbo-ode"
    check(result.nats, bound(name))
    check(torch.exp(likelihood(name) - result.nats), 1.0)
    assert bound(name) > likelihood(name) + 0.05


@pytest.mark.parametrize("name", ["vp", "cld"])
def test_importance_weights(name):
    """Five draws of each row: closer from above, and their kind is told."""
    model, (x, noise) = model_of(name), rows()
    few = torch.arange(250)
    result = model.bound(x[few], noise.select(few), "iw-ode", 5, rtol=1e-5, atol=1e-5)
    assert result.kind == "iw-ode"
    mean, error = (
        float(result.nats.mean()),
        float(result.nats.std()) / math.sqrt(250),
    )
    assert likelihood(name) - 4 * error < mean < bound(name) - 4 * error
    check(torch.exp(likelihood(name) - result.nats), 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_by_the_diffusion(name):
    """The same number: what the ends of these processes remember is less than 1e-4 nats."""
    model, (x, noise) = model_of(name), rows()
    result = model.bound(x, noise, "nelbo-diffusion", 4)
    assert result.kind == "nelbo-diffusion"
    check(result.nats, bound(name))


@pytest.mark.parametrize("name", NAMES)
def test_by_the_chain(name):
    """Above it by what its steps cost: ``(z - E[z | u_t])^2`` is a square in z and noise."""
    model, (x, noise) = model_of(name), rows()
    grid = torch.logspace(0, math.log10(CUT), 8, dtype=torch.float64)
    result = model.bound(x, noise, "nelbo-chain", 2, grid=grid)
    assert result.kind == "nelbo-chain"
    c, snr = model.prior.sde.data_var(), model.prior.sde.kernel(grid).snr
    *_, mean, spread = setting(name)
    size = mean.square().sum() + spread.trace()
    cost = 0.5 * snr.diff() * (size + 2 * c**2 * snr[:-1]) / (1 + c * snr[:-1]).square()
    std = f64([FIRST[1], SECOND[1]])
    own = 0.5 * torch.log1p(std.square() * snr[-1]).sum()
    want = reconstruction(name) + float(cost.sum() - own)
    assert want > bound(name) + 0.1
    check(result.nats, want)
