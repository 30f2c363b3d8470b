"""The U-Net against its formulas, its refusals, and what it learns."""

import pytest
import torch
from support.networks import build, convolved, images, normalised

import sgmkit
from sgmkit.errors import BadValue
from sgmkit.noise import seeded
from sgmkit_networks.blocks import Attention
from sgmkit_networks.unet import UNet

SMALL = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "groups": 4}


def test_the_unet_layer_by_layer():
    """Two sizes and two blocks: each step up sees what its step down left, the last one first."""
    net = build(UNet, (2, 5, 3), (1, 5, 3), **{**SMALL, "multipliers": (1, 2), "blocks": 2})
    z, t = images(size=(5, 3))
    conditioning = net.conditioning(t, None, z.dtype)
    a = convolved(z, net.enter)
    b = net.down[0](a, conditioning)
    c = net.down[1](b, conditioning)
    d = convolved(c, net.down[2].conv)[..., ::2, ::2]
    e = net.down[3](d, conditioning)
    f = net.down[4](e, conditioning)
    assert (d.shape[1:], f.shape[1:]) == ((8, 3, 2), (16, 3, 2))
    h = net.middle[1].convs(
        net.middle[0].attention(net.middle[0].convs(f, conditioning)), conditioning
    )
    for step, skip in zip(net.up[:3], (f, e, d), strict=True):
        h = step.block(torch.cat([h, skip], 1), conditioning)
    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :5, :3]
    h = convolved(h, net.up[3].grow.conv)
    for step, skip in zip(net.up[3:], (c, b, a), strict=True):
        h = step.block(torch.cat([h, skip], 1), conditioning)
    h = normalised(h, 4, net.norm)
    out = convolved(h * torch.sigmoid(h), net.leave)
    torch.testing.assert_close(net(z, t), out, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (64, 64), (9, 17)])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (6, 3), (3, 1)])
def test_images_of_any_size_and_channels(size, inputs, outputs):
    net = build(UNet, (inputs, *size), (outputs, *size), **SMALL, dtype=torch.float32)
    z, c = images(inputs, size, dtype=torch.float32)
    out = net(z, c)
    assert out.shape == (3, outputs, *size)
    assert 1e-3 < float(out.detach().std()) < 1e3


def test_initial_weights_are_a_function_of_the_seed():
    def state(seed):
        with seeded(seed, "weights"):
            net = UNet((1, 8, 8), (1, 8, 8), **SMALL)
        return torch.cat([value.flatten() for value in net.parameters()])

    assert torch.equal(state(1), state(1))
    assert not torch.equal(state(1), state(2))


def test_options_reach_the_network_by_name():
    spec = "unet:channels=8:groups=4:multipliers=(1,3):blocks=1:attention=(8,):heads=2"
    net = sgmkit.create("network", spec, in_shape=(2, 8, 8), out_shape=(1, 8, 8))
    assert net.middle[0].convs.first.out_channels == 24
    heads = [layer.heads for layer in net.modules() if isinstance(layer, Attention)]
    assert heads == [2] * 4  # one on the way down, two on the way up, the middle


@pytest.mark.parametrize(
    ("attention", "places"),
    [((), [8]), ((14,), [70, 8, 70, 70]), ((7, 4), [21, 8, 8, 8, 8, 21, 21])],
)
def test_attention_is_at_the_stated_heights(attention, places):
    """Numbers of pixels that are attended to, in order: sizes are 14 x 5, 7 x 3, 4 x 2."""
    net = build(UNet, (1, 14, 5), (1, 14, 5), **SMALL, attention=attention)
    seen = []
    for layer in net.modules():
        if isinstance(layer, Attention):
            layer.ask.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    net(*images(1, (14, 5)))
    assert seen == places


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(2,), (1,)], {}, "in_shape must be (channels, height, width), not (2,): try mlp"),
        (
            [(2, 8, 8), (2,)],
            {},
            "out_shape must be (channels, height, width), not (2,): try mlp",
        ),
        (
            [(2, 8, 8), (1, 8, 9)],
            {},
            "in_shape (2, 8, 8) and out_shape (1, 8, 9) differ in height or width",
        ),
        ([], {"channels": 30}, "channels = 30 is not a multiple of groups = 8"),
        ([], {"multipliers": ()}, "multipliers must be positive, one or more, not ()"),
        (
            [],
            {"multipliers": (1, 0)},
            "multipliers must be positive, one or more, not (1, 0)",
        ),
        (
            [(1, 9, 7)] * 2,
            {"multipliers": (1,) * 5},
            "5 multipliers need as many sizes, but there are 4: 9 x 7, 5 x 4, 3 x 2, 2 x 1",
        ),
        (
            [(1, 28, 28)] * 2,
            {"attention": (14, 8)},
            "attention at height 8, which is none of 28, 14, 7",
        ),
        (
            [],
            {"heads": 3, "multipliers": (3, 2)},
            "heads = 3 does not divide the 64 channels that attend",
        ),
        (
            [],
            {"heads": 64, "multipliers": (1, 2), "attention": (8,)},
            "heads = 64 does not divide the 32 channels that attend",
        ),
    ],
)
def test_refusals(shapes, options, message):
    first, second = shapes or [(1, 8, 8)] * 2
    if "multipliers" in options:
        options = {"channels": 32, **options}
    with pytest.raises(BadValue) as caught:
        sgmkit.create("network", "unet", in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"network 'unet': {message}"
