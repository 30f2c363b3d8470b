"""The blocks of NCSN++ against formulas and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from support.networks import build, draw
from torch import nn

from sgmkit.noise import seeded
from sgmkit_networks.ncsnpp_blocks import (
    Attend,
    Resample,
    Residual,
    conv,
    linear,
    norm,
    sinusoids,
)


def test_sinusoids():
    """Sines and cosines at frequencies from 1 to 1 / 10,000, each a tenth of the last."""
    c = torch.tensor([-2500.0, 0.0, 1.0, 1000.0], dtype=torch.float64)
    angles = c.numpy()[:, None] / 10.0 ** np.arange(5)
    want = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    assert np.allclose(sinusoids(c, 10).numpy(), want, rtol=0, atol=1e-12)
    half = torch.tensor([700.0], dtype=torch.bfloat16)
    assert torch.equal(sinusoids(half, 8), sinusoids(half.float(), 8))


TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8


def along(x, axis, **steps):
    """The filter along one axis, its response in full."""
    return upfirdn(TAPS * steps.get("up", 1), x, axis=axis, **steps)


@pytest.mark.parametrize("size", [(4, 6), (8, 2), (7, 5), (1, 3)])
def test_the_filter_halves_as_scipy_has_it(size):
    """Output n lies between inputs 2 n and 2 n + 1; zeros lie beyond the edges."""
    x = draw(2, 3, *size)
    h, w = (-(-side // 2) for side in size)
    want = along(along(x.numpy(), 2, down=2), 3, down=2)
    want = np.pad(want, ((0, 0), (0, 0), (0, 2), (0, 2)))[:, :, 1 : 1 + h, 1 : 1 + w]
    halved = Resample("down", fir=True).double()(x)
    assert halved.shape == (2, 3, h, w)
    assert np.allclose(halved.numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 6), (1, 3)])
def test_the_filter_doubles_as_scipy_has_it(size):
    x = draw(2, 3, *size)
    h, w = (2 * side for side in size)
    want = along(along(x.numpy(), 2, up=2), 3, up=2)[:, :, 1 : 1 + h, 1 : 1 + w]
    layer = Resample("up", fir=True).double()
    assert np.allclose(layer(x).numpy(), want, rtol=0, atol=1e-12)
    assert torch.equal(layer(x, torch.Size((h - 1, w - 1))), layer(x)[..., :-1, :-1])


def test_the_filter_keeps_flat_images_flat_inside():
    x = torch.ones(1, 2, 8, 8, dtype=torch.float64)
    for step in ("down", "up"):
        inside = Resample(step, fir=True).double()(x)[..., 1:-1, 1:-1]
        torch.testing.assert_close(inside, torch.ones_like(inside))


def test_without_a_filter_squares_are_averaged_and_repeated():
    x = draw(2, 3, 4, 6)
    squares = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    torch.testing.assert_close(Resample("down", fir=False)(x), sum(squares) / 4)
    want = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(Resample("up", fir=False)(x), want)
    odd = Resample("down", fir=False)(x[..., :3, :5])
    assert odd.shape[2:] == (2, 3)
    torch.testing.assert_close(odd[..., 1, 0], x[..., 2, :2].mean(2))
    torch.testing.assert_close(odd[..., 1, 2], x[..., 2, 4])


@pytest.mark.parametrize("step", [None, "down", "up"])
@pytest.mark.parametrize("outputs", [4, 6])
def test_residual_block(step, outputs):
    """Norm, SiLU, resampling, convolution, time, norm, SiLU, convolution; both halves shared."""
    resample = step and Resample(step, fir=True)
    block = build(Residual, 4, outputs, 3, 0.0, resample)
    x, conditioning = draw(2, 4, 4, 6), draw(2, 3, seed=1)
    out = block(x, conditioning)
    change = resample or nn.Identity()
    h = block.first_norm(x)
    h = block.first(change(h * torch.sigmoid(h)))
    h = h + (conditioning @ block.shift.weight.mT + block.shift.bias)[:, :, None, None]
    h = block.last_norm(h)
    h = block.last(h * torch.sigmoid(h))
    x = change(x)
    assert isinstance(block.across, nn.Identity) == (outputs == 4 and step is None)
    if not isinstance(block.across, nn.Identity):
        x = torch.einsum("oc,bchw->bohw", block.across.weight[..., 0, 0], x)
        x = x + block.across.bias[:, None, None]
    torch.testing.assert_close(out, (x + h) / math.sqrt(2))


def test_attention_is_shared_likewise():
    layer, x = build(Attend, 16), draw(2, 16, 3, 5)
    assert (layer.inner.heads, layer.inner.norm.num_groups) == (1, 4)
    torch.testing.assert_close(layer(x), layer.inner(x) / math.sqrt(2))


def test_groups_are_a_quarter_of_the_channels():
    widths = (1, 6, 8, 96, 128, 180, 512, 1024)
    assert [norm(width).num_groups for width in widths] == [1, 1, 2, 24, 32, 30, 32, 32]
    assert {norm(width).eps for width in widths} == {1e-6}


@pytest.mark.parametrize(
    ("layer", "mean"),
    [(lambda: conv(24, 72), 48 * 9), (lambda: conv(72, 24, 1), 48), (lambda: linear(90, 10), 50)],
)
def test_initial_weights_are_uniform_by_the_mean_of_both_fans(layer, mean):
    with seeded(0, "weights"):
        built = layer()
    weight = built.weight.detach()
    assert float(weight.var()) == pytest.approx(1 / mean, rel=0.1)
    assert float(weight.abs().max()) == pytest.approx(math.sqrt(3 / mean), rel=0.01)
    assert not built.bias.any()
