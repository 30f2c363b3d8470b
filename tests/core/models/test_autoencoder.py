"""Latents: densities and divergences against torch's own, and the bounds of an encoder."""

import math

import pytest
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


def test_behind_a_flow_the_divergence_is_estimated():
    """Of 40,000 draws, for a shift: in the mean it is the divergence of the shifted law."""
    mean, std = torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    base = mean + std * draw(40_000, 1)
    shape = base.shape
    latents = Latents(base + 1, mean.expand(shape), std.expand(shape), (1,), base)
    torch.testing.assert_close(latents.log_q, Normal(mean, std).log_prob(base))
    expected = float(kl_divergence(Normal(mean + 1, std), Normal(0 * mean, 1)))
    spread = float(latents.divergence.std()) / math.sqrt(len(base))
    assert float(latents.divergence.mean()) == pytest.approx(expected, abs=4 * spread)


def test_bounds():
    """Identities near 0, of slope 1; 5 and ``limit`` at the ends; float32 at least."""
    small = torch.linspace(-0.01, 0.01, 5, dtype=torch.float64)
    mean, std = bounded(small, small, limit=2)
    torch.testing.assert_close(mean, small, rtol=1e-4, atol=0)
    torch.testing.assert_close(std.log(), small, rtol=1e-4, atol=0)
    large = torch.tensor([-1e4, 1e4], dtype=torch.bfloat16)
    mean, std = bounded(large, large, limit=2)
    assert mean.tolist() == [-5, 5]
    assert std.dtype == mean.dtype == torch.float32
    torch.testing.assert_close(std, torch.tensor([-2.0, 2.0]).exp())
    x = torch.tensor(1.3, dtype=torch.float64)
    mean, std = bounded(x, x)
    assert float(mean) == pytest.approx(5 * math.tanh(0.26), abs=1e-15)
    assert float(std) == pytest.approx(math.exp(5 * math.tanh(0.26)), rel=1e-15)
