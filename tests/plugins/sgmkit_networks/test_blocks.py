"""The blocks that networks are assembled from, against formulas written out."""

import math

import numpy as np
import pytest
import torch
from support.networks import affine, build, convolved, draw, normalised
from torch import nn

from sgmkit.noise import seeded
from sgmkit_networks.blocks import Attention, Conditioning, ResBlock, Upsample, conv, linear, waves
from sgmkit_networks.unet import Shrink


def test_waves():
    """Cosines and sines at frequencies from half a radian to 32, each four times the last."""
    c = torch.tensor([-2.5, 0.0, 0.3, 1.0], dtype=torch.float64)
    angles = c.numpy()[:, None] * np.array([0.5, 2.0, 8.0, 32.0])
    want = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    assert np.allclose(waves(c, 8).numpy(), want, rtol=0, atol=1e-12)


def test_waves_are_not_taken_in_half_precision():
    c = torch.tensor([0.7, 0.9], dtype=torch.bfloat16)
    assert torch.equal(waves(c, 64), waves(c.float(), 64))


def test_the_slowest_wave_tells_all_times_of_edm_apart():
    c = torch.linspace(-2.5, 2.5, 101)
    assert bool((waves(c, 2)[:, 1].diff() > 0).all())


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_convolutions_keep_the_variance(size, stride):
    with seeded(0, "conv"):
        layer = conv(24, 48, size, stride)
    out = layer(draw(16, 24, 20, 20, dtype=torch.float32)).detach()[..., 1:-1, 1:-1]
    assert float(out.var()) == pytest.approx(1, rel=0.03)
    assert not layer.bias.any()


def test_linear_maps_keep_the_variance():
    with seeded(0, "linear"):
        layer = linear(200, 300)
    out = layer(draw(400, 200, dtype=torch.float32)).detach()
    assert float(out.var()) == pytest.approx(1, rel=0.03)
    assert not layer.bias.any()


def test_some_layers_start_at_zero():
    for layer in (conv(3, 4, zero=True), linear(3, 4, zero=True)):
        assert not any(value.any() for value in layer.parameters())


@pytest.mark.parametrize("outputs", [4, 6])
def test_residual_block(outputs):
    block = build(ResBlock, 4, outputs, 3, 2, 0.0)
    x, conditioning = draw(2, 4, 5, 3), draw(2, 3, seed=1)
    h = normalised(x, 2, block.first_norm)
    h = convolved(h * torch.sigmoid(h), block.first)
    both = affine(conditioning, block.modulation)
    scale, shift = both[:, :outputs, None, None], both[:, outputs:, None, None]
    h = normalised(h, 2, block.last_norm) * (1 + scale) + shift
    out = convolved(h * torch.sigmoid(h), block.last)
    if outputs == 4:
        out = out + x
    else:
        out = out + torch.einsum("oc,bchw->bohw", block.across.weight[..., 0, 0], x)
        out = out + block.across.bias[:, None, None]
    torch.testing.assert_close(block(x, conditioning), out, rtol=1e-10, atol=1e-10)


def test_attention():
    """softmax(q k / sqrt(d)) v over all places, for each head on its own channels."""
    layer = build(Attention, 6, 3, 2)
    x = 3 * draw(2, 6, 4, 5)
    places = normalised(x, 2, layer.norm).reshape(2, 6, 20)
    qkv = torch.einsum("oc,bcn->bon", layer.ask.weight, places) + layer.ask.bias[:, None]
    mixed = torch.zeros_like(places)
    for head in range(3):
        q, k, v = (qkv[:, i * 6 + 2 * head : i * 6 + 2 * head + 2] for i in range(3))
        logits = torch.einsum("bcn,bcm->bnm", q, k) / math.sqrt(2)
        weights = logits.exp() / logits.exp().sum(2, keepdim=True)
        mixed[:, 2 * head : 2 * head + 2] = torch.einsum("bnm,bcm->bcn", weights, v)
    out = torch.einsum("oc,bcn->bon", layer.answer.weight, mixed) + layer.answer.bias[:, None]
    want = x + out.reshape(x.shape)
    torch.testing.assert_close(layer(x), want, rtol=1e-10, atol=1e-10)


def test_sizes_that_do_not_halve_evenly_stay_in_place():
    """With convolutions that pass their input on, every other pixel comes back where it was."""
    shrink, grow = Shrink(2).double(), Upsample(2, 2).double()
    for layer in (shrink.conv, grow.conv):
        nn.init.dirac_(layer.weight)
    for size in ((7, 5), (8, 8), (1, 9)):
        x = draw(2, 2, *size)
        small = shrink(x, draw(2, 1))
        assert torch.equal(small, x[..., ::2, ::2])
        back = grow(small, x.shape[2:])
        assert back.shape == x.shape
        assert torch.equal(back[..., ::2, ::2], small)
        assert torch.equal(back[..., 1::2, :], back[..., :-1:2, :])


def test_conditioning_adds_time_and_label():
    part = build(Conditioning, 8, 6, 4)
    c, y = draw(3), torch.tensor([0, 3, 3])
    h = affine(waves(c, 8), part.time[0])
    h = affine(h * torch.sigmoid(h), part.time[2])
    for label, want in ((None, h), (y, h + part.label.weight[y])):
        want = want * torch.sigmoid(want)
        torch.testing.assert_close(part(c, label, c.dtype), want, rtol=1e-10, atol=1e-12)


def test_fresh_residual_branches_are_silent():
    x, conditioning = draw(2, 4, 5, 3), draw(2, 3, seed=1)
    assert torch.equal(ResBlock(4, 4, 3, 2, 0.0).double()(x, conditioning), x)
    assert torch.equal(Attention(4, 2, 2).double()(x), x)
