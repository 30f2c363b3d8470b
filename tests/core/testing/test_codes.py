"""Noise that records its draws, and data and latents for checks of autoencoders."""

import pytest
import torch

from sgmkit import SeededNoise
from sgmkit.testing import codes
from sgmkit.testing.reference import ReferenceAutoencoder
from sgmkit.testing.result import NotApplicable


def test_recorded_draws_are_leaves_with_gradients():
    noise = codes.TracedNoise(SeededNoise(0, range(3)))
    total = (2 * noise(torch.empty(3, 2, dtype=torch.float64))).sum()
    (slope,) = torch.autograd.grad(total, noise.drawn)
    assert torch.equal(slope, torch.full((3, 2), 2.0, dtype=torch.float64))
    assert noise.stream("other") is noise
    with pytest.raises(NotApplicable):
        noise.uniform(torch.empty(3))


def test_rows_may_be_equal():
    noise = codes.TracedNoise(SeededNoise(0, range(3)), same_rows=True)
    rows = noise(torch.empty(3, 2)).detach()
    assert torch.equal(rows, rows[:1].expand(3, 2))


def test_data_and_latents_have_the_shapes_of_the_autoencoder():
    autoencoder = ReferenceAutoencoder((1, 4, 4), (2, 4, 4)).double()
    assert codes.data(autoencoder).shape == (codes.COUNT, 1, 4, 4)
    latents = codes.code(autoencoder)
    assert [tuple(z.shape[1:]) for z in latents] == list(autoencoder.scales)
    out = codes.decode(autoencoder, latents)
    assert out.shape == (codes.COUNT, 2, 4, 4)
    drawn = codes.draws(codes.encode(autoencoder, codes.data(autoencoder)))
    assert codes.flat(drawn).shape[0] == codes.COUNT
