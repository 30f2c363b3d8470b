"""Latents: densities and divergences against torch's own, and the bounds of an encoder."""

import math

import torch
from torch.distributions import Normal, kl_divergence

from sgmkit import Latents, SeededNoise
from sgmkit.models import bounded


def draw(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def test_densities_and_divergences():
    mean, std = draw(3, 4), draw(3, 4, seed=1).exp()
    law, unit = Normal(mean, std), Normal(torch.zeros_like(mean), 1.0)
    z = mean + std * draw(3, 4, seed=2)
    latents = Latents(z, mean, std, (4,))
    torch.testing.assert_close(latents.log_q, law.log_prob(z))
    torch.testing.assert_close(latents.divergence, kl_divergence(law, unit))


def test_behind_a_flow_the_density_is_that_of_the_base():
    mean, std = draw(3, 4), draw(3, 4, seed=1).exp()
    base = mean + std * draw(3, 4, seed=2)
    z = base.flip(1)  # preserves volume
    law, unit = Normal(mean, std), Normal(torch.zeros_like(mean), 1.0)
    latents = Latents(z, mean, std, (4,), base)
    torch.testing.assert_close(latents.log_q, law.log_prob(base))
    torch.testing.assert_close(latents.divergence, law.log_prob(base) - unit.log_prob(z))


def test_bounds_are_smooth_and_in_single_precision_at_least():
    x = torch.tensor([-1e4, -0.1, 0.0, 0.1, 1e4], dtype=torch.bfloat16)
    mean, std = bounded(x, x, 2.0)
    assert mean.dtype == std.dtype == torch.float32
    assert mean[[0, 4]].tolist() == [-5.0, 5.0]
    torch.testing.assert_close(std[[0, 4]].log(), torch.tensor([-2.0, 2.0]))
    torch.testing.assert_close(mean[1:4], 5 * torch.tanh(x[1:4].float() / 5))
    assert float(std[2]) == math.exp(0.0)
