"""NCSN++: its parts against formulas and scipy, its size against published ones.

The conformance suite holds what every network must do; test_networks what hardware asks of it.
"""

import math

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from torch import nn

import sgmkit
from sgmkit.errors import BadValue, Incompatible
from sgmkit.noise import seeded
from sgmkit_networks.blocks import Attention
from sgmkit_networks.ncsnpp import NCSNpp
from sgmkit_networks.ncsnpp_blocks import (
    Attend,
    Resample,
    Residual,
    conv,
    linear,
    norm,
    sinusoids,
)

SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "embedding": 8}


def draw(*shape, dtype=torch.float64, seed=0):
    return sgmkit.SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=dtype))


def build(cls, *args, dtype=torch.float64, **options):
    """One that does not answer zero."""
    with seeded(0, "test"):
        net = cls(*args, **options).to(dtype)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * draw(*value.shape, dtype=dtype)
    return net


# Size -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "multipliers", "latents", "millions"),
    [
        (512, (1, 1, 1), (180, 16, 16), 375.6),
        (256, (1, 1), (40, 8, 8), 63.8),
        (256, (1, 1, 1), (60, 16, 16), 97.8),
        (256, (1, 2, 2, 2), (160, 32, 32), 408.4),
        (256, (1, 1, 2, 2, 2), (200, 64, 64), 440.1),
        (320, (1, 1, 2, 2, 2), (200, 64, 64), 680.8),
    ],
)
@pytest.mark.parametrize("fir", [False, True])
def test_parameters_are_as_many_as_published(channels, multipliers, latents, millions, fir):
    """LSGM's priors, in millions to one decimal."""
    options = {"channels": channels, "multipliers": multipliers, "blocks": 8, "fir": fir}
    with torch.device("meta"):
        net = NCSNpp(latents, latents, **options)
    assert round(sum(value.numel() for value in net.parameters()) / 1e6, 1) == millions


# Parts, against formulas ------------------------------------------------------------------


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
    found = Resample("down", fir=True).double()(x)
    assert found.shape == (2, 3, h, w)
    assert np.allclose(found.numpy(), want, rtol=0, atol=1e-12)


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
    x, told = draw(2, 4, 4, 6), draw(2, 3, seed=1)
    found = block(x, told)
    change = resample or nn.Identity()
    h = block.first_norm(x)
    h = block.first(change(h * torch.sigmoid(h)))
    h = h + (told @ block.told.weight.mT + block.told.bias)[:, :, None, None]
    h = block.last_norm(h)
    h = block.last(h * torch.sigmoid(h))
    x = change(x)
    assert isinstance(block.across, nn.Identity) == (outputs == 4 and step is None)
    if not isinstance(block.across, nn.Identity):
        x = torch.einsum("oc,bchw->bohw", block.across.weight[..., 0, 0], x)
        x = x + block.across.bias[:, None, None]
    torch.testing.assert_close(found, (x + h) / math.sqrt(2))


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
        made = layer()
    weight = made.weight.detach()
    assert float(weight.var()) == pytest.approx(1 / mean, rel=0.1)
    assert float(weight.abs().max()) == pytest.approx(math.sqrt(3 / mean), rel=0.01)
    assert not made.bias.any()


# The whole --------------------------------------------------------------------------------


def test_layer_by_layer():
    net = build(NCSNpp, (2, 4, 5), (3, 4, 5), **SMALL, attention=(2,), fir=True)
    z, t = draw(2, 2, 4, 5), torch.tensor([0.2, 0.7], dtype=torch.float64)
    told = net.time(sinusoids(1000 * t, 8))
    told = told * torch.sigmoid(told)
    a = net.enter(z)
    b = net.down[0].block(a, told)
    c = net.down[1](b, told)
    d = net.down[2].attention(net.down[2].block(c, told))
    assert (c.shape[1:], d.shape[1:], len(net.down)) == ((8, 2, 3), (16, 2, 3), 3)
    h = net.middle[0].attention(net.middle[0].block(d, told))
    h = net.middle[1].block(h, told)
    low, top = net.up
    for block, kept in zip(low.blocks, (d, c), strict=True):
        h = block(torch.cat([h, kept], 1), told)
    h = low.grow(low.last(h), told, torch.Size((4, 5)))
    for block, kept in zip(top.blocks, (b, a), strict=True):
        h = block(torch.cat([h, kept], 1), told)
    assert top.grow is None
    h = net.norm(h)
    out = net.leave(h * torch.sigmoid(h))
    torch.testing.assert_close(net(z, t), out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("height", "attention", "places"),
    [
        (8, (16,), [20]),
        (16, (16,), [80, 80, 20, 80]),
        (16, (16, 8), [80, 80, 20, 20, 20, 20, 80]),
    ],
)
def test_attention_is_after_every_block_down_and_once_up(height, attention, places):
    """Numbers of pixels that are attended to, in order: sizes are h x 5, h / 2 x 3."""
    options = {**SMALL, "blocks": 2, "attention": attention}
    net = build(NCSNpp, (1, height, 5), (1, height, 5), **options)
    seen = []
    for layer in net.modules():
        if isinstance(layer, Attention):
            layer.ask.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    net(draw(2, 1, height, 5), draw(2))
    low = height // 2 * 3
    wanted = [height * 5 if place == 80 else low for place in places]
    assert seen == wanted


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (28, 28), (9, 17)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (6, 3)])
@pytest.mark.parametrize("fir", [False, True])
def test_images_of_any_size_and_channels(size, inputs, outputs, fir):
    options = {**SMALL, "multipliers": (1, 1, 2), "fir": fir}
    net = build(NCSNpp, (inputs, *size), (outputs, *size), **options, dtype=torch.float32)
    z = draw(3, inputs, *size, dtype=torch.float32)
    out = net(z, torch.linspace(0.1, 0.9, 3))
    assert out.shape == (3, outputs, *size)
    assert 1e-3 < float(out.detach().std()) < 1e3


def test_fresh_networks_answer_zero():
    net = NCSNpp((2, 8, 8), (1, 8, 8), **SMALL)
    assert not net(draw(2, 2, 8, 8, dtype=torch.float32), torch.tensor([0.1, 0.9])).any()


def test_the_filter_is_no_part_of_the_state():
    plain, smooth = (NCSNpp((2, 8, 8), (2, 8, 8), **SMALL, fir=fir) for fir in (False, True))
    assert list(plain.state_dict()) == list(smooth.state_dict())


def test_labels():
    told, plain = (build(NCSNpp, (1, 8, 8), (1, 8, 8), **SMALL, classes=n) for n in (4, 0))
    assert (told.classes, plain.classes) == (4, 0)
    z, c = draw(2, 1, 8, 8), draw(2)
    both = told(z, c, torch.tensor([1, 2]))
    torch.testing.assert_close(both[:1], told(z[:1], c[:1], torch.tensor([1])))
    assert not torch.allclose(both, told(z, c, torch.tensor([2, 1])))
    with pytest.raises(Incompatible, match="set classes, or leave labels out"):
        plain(z, c, torch.tensor([1, 2]))


def test_options_reach_the_network_by_name():
    spec = "ncsnpp:channels=8:multipliers=(1,3):blocks=3:fir=true:embedding=12:scale=10:dropout=0.2"
    net = sgmkit.create("network", spec, in_shape=(2, 8, 8), out_shape=(1, 8, 8))
    assert net.middle[0].block.first.out_channels == 24
    assert (len(net.down), [len(stage.blocks) for stage in net.up]) == (7, [4, 4])
    assert (net.time[0].in_features, net.time[0].out_features, net.scale) == (12, 48, 10)
    found = [layer for layer in net.modules() if isinstance(layer, Resample)]
    assert [layer.taps.shape for layer in found] == [(1, 1, 4, 4)] * 2
    assert net.middle[0].block.dropout.p == 0.2


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(2,), (1,)], {}, "in_shape must be (channels, height, width), not (2,): try mlp"),
        (
            [(2, 8, 8), (1, 8, 9)],
            {},
            "in_shape (2, 8, 8) and out_shape (1, 8, 9) differ in height or width",
        ),
        ([], {"multipliers": ()}, "multipliers must be positive, one or more, not ()"),
        (
            [(1, 3, 2)] * 2,
            {"multipliers": (1,) * 4},
            "4 multipliers need as many sizes, but there are 2: 3 x 2, 2 x 1",
        ),
        (
            [],
            {"embedding": 33},
            "embedding = 33 is odd: sines and cosines come in pairs",
        ),
    ],
)
def test_refusals(shapes, options, message):
    first, second = shapes or [(1, 8, 8)] * 2
    with pytest.raises(BadValue) as caught:
        sgmkit.create("network", "ncsnpp", in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"network 'ncsnpp': {message}"
