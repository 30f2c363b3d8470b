"""NCSN++: its size against published ones, its layers, its refusals."""

import pytest
import torch
from support.networks import build, draw

import sgmkit
from sgmkit.errors import BadValue, Incompatible
from sgmkit_networks.blocks import Attention
from sgmkit_networks.ncsnpp import NCSNpp
from sgmkit_networks.ncsnpp_blocks import (
    Resample,
    sinusoids,
)

SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "embedding": 8}


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


def test_layer_by_layer():
    net = build(NCSNpp, (2, 4, 5), (3, 4, 5), **SMALL, attention=(2,), fir=True)
    z, t = draw(2, 2, 4, 5), torch.tensor([0.2, 0.7], dtype=torch.float64)
    conditioning = net.time(sinusoids(1000 * t, 8))
    conditioning = conditioning * torch.sigmoid(conditioning)
    a = net.enter(z)
    b = net.down[0].block(a, conditioning)
    c = net.down[1](b, conditioning)
    d = net.down[2].attention(net.down[2].block(c, conditioning))
    assert (c.shape[1:], d.shape[1:], len(net.down)) == ((8, 2, 3), (16, 2, 3), 3)
    h = net.middle[0].attention(net.middle[0].block(d, conditioning))
    h = net.middle[1].block(h, conditioning)
    low, top = net.up
    for block, skip in zip(low.blocks, (d, c), strict=True):
        h = block(torch.cat([h, skip], 1), conditioning)
    h = low.grow(low.last(h), conditioning, torch.Size((4, 5)))
    for block, skip in zip(top.blocks, (b, a), strict=True):
        h = block(torch.cat([h, skip], 1), conditioning)
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
    pixels = [height * 5 if place == 80 else low for place in places]
    assert seen == pixels


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
    labelled, plain = (build(NCSNpp, (1, 8, 8), (1, 8, 8), **SMALL, classes=n) for n in (4, 0))
    assert (labelled.classes, plain.classes) == (4, 0)
    z, c = draw(2, 1, 8, 8), draw(2)
    both = labelled(z, c, torch.tensor([1, 2]))
    torch.testing.assert_close(both[:1], labelled(z[:1], c[:1], torch.tensor([1])))
    assert not torch.allclose(both, labelled(z, c, torch.tensor([2, 1])))
    with pytest.raises(Incompatible, match="set classes, or leave labels out"):
        plain(z, c, torch.tensor([1, 2]))


def test_options_reach_the_network_by_name():
    spec = "ncsnpp:channels=8:multipliers=(1,3):blocks=3:fir=true:embedding=12:scale=10:dropout=0.2"
    net = sgmkit.create("network", spec, in_shape=(2, 8, 8), out_shape=(1, 8, 8))
    assert net.middle[0].block.first.out_channels == 24
    assert (len(net.down), [len(stage.blocks) for stage in net.up]) == (7, [4, 4])
    assert (net.time[0].in_features, net.time[0].out_features, net.scale) == (12, 48, 10)
    resamplers = [layer for layer in net.modules() if isinstance(layer, Resample)]
    assert [layer.taps.shape for layer in resamplers] == [(1, 1, 4, 4)] * 2
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
