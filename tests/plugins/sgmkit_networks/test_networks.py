"""Networks: their parts against formulas written out, and what hardware and compilers ask of them.

The conformance suite holds what every network must do; here is what these promise besides.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sgmkit
from sgmkit.errors import BadValue, Incompatible
from sgmkit.noise import seeded
from sgmkit_networks.blocks import Attention, Conditioning, ResBlock, Upsample, conv, linear, waves
from sgmkit_networks.mlp import MLP
from sgmkit_networks.ncsnpp import NCSNpp
from sgmkit_networks.unet import Shrink, UNet

SMALL = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "groups": 4}


def draw(*shape, dtype=torch.float64, seed=0):
    return sgmkit.SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=dtype))


def build(cls, *args, dtype=torch.float64, **options):
    """A network or a part of one that does not answer zero."""
    with seeded(0, "test"):
        net = cls(*args, **options).to(dtype)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * draw(*value.shape, dtype=dtype)
    return net


def images(channels=2, size=(7, 5), count=3, dtype=torch.float64):
    return draw(count, channels, *size, dtype=dtype), torch.linspace(0.1, 0.9, count, dtype=dtype)


# Parts, against formulas ------------------------------------------------------------------


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


def affine(x, layer):
    return x @ layer.weight.mT + layer.bias


def normalised(x, groups, norm):
    """Group norm, written out."""
    parts = x.unflatten(1, (groups, -1))
    mean = parts.mean((2, 3, 4), keepdim=True)
    var = (parts - mean).square().mean((2, 3, 4), keepdim=True)
    out = ((parts - mean) / (var + 1e-5).sqrt()).flatten(1, 2)
    return out * norm.weight[:, None, None] + norm.bias[:, None, None]


def convolved(x, layer):
    """A 3 x 3 convolution, as a sum over its nine shifts."""
    wide = torch.zeros(*x.shape[:2], x.shape[2] + 2, x.shape[3] + 2, dtype=x.dtype)
    wide[..., 1:-1, 1:-1] = x
    out = layer.bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = wide[..., i : i + x.shape[2], j : j + x.shape[3]]
            out = out + torch.einsum("oc,bchw->bohw", layer.weight[..., i, j], part)
    return out


@pytest.mark.parametrize("outputs", [4, 6])
def test_residual_block(outputs):
    block = build(ResBlock, 4, outputs, 3, 2, 0.0)
    x, told = draw(2, 4, 5, 3), draw(2, 3, seed=1)
    h = normalised(x, 2, block.first_norm)
    h = convolved(h * torch.sigmoid(h), block.first)
    both = affine(told, block.told)
    scale, shift = both[:, :outputs, None, None], both[:, outputs:, None, None]
    h = normalised(h, 2, block.last_norm) * (1 + scale) + shift
    out = convolved(h * torch.sigmoid(h), block.last)
    if outputs == 4:
        out = out + x
    else:
        out = out + torch.einsum("oc,bchw->bohw", block.across.weight[..., 0, 0], x)
        out = out + block.across.bias[:, None, None]
    torch.testing.assert_close(block(x, told), out, rtol=1e-10, atol=1e-10)


def test_attention():
    """softmax(q k / sqrt(d)) v over all places, for each head on its own channels."""
    layer = build(Attention, 6, 3, 2)
    x = 3 * draw(2, 6, 4, 5)
    places = normalised(x, 2, layer.norm).reshape(2, 6, 20)
    asked = torch.einsum("oc,bcn->bon", layer.ask.weight, places) + layer.ask.bias[:, None]
    heard = torch.zeros_like(places)
    for head in range(3):
        q, k, v = (asked[:, i * 6 + 2 * head : i * 6 + 2 * head + 2] for i in range(3))
        logits = torch.einsum("bcn,bcm->bnm", q, k) / math.sqrt(2)
        weights = logits.exp() / logits.exp().sum(2, keepdim=True)
        heard[:, 2 * head : 2 * head + 2] = torch.einsum("bnm,bcm->bcn", weights, v)
    out = torch.einsum("oc,bcn->bon", layer.answer.weight, heard) + layer.answer.bias[:, None]
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
    x, told = draw(2, 4, 5, 3), draw(2, 3, seed=1)
    assert torch.equal(ResBlock(4, 4, 3, 2, 0.0).double()(x, told), x)
    assert torch.equal(Attention(4, 2, 2).double()(x), x)


# Whole networks ---------------------------------------------------------------------------


def test_the_mlp_layer_by_layer():
    net = build(MLP, (3,), (2,), width=6, depth=2)
    z, c = draw(4, 3), draw(4, seed=1)
    h, told = affine(z, net.enter), net.conditioning(c, None, z.dtype)
    for block in net.blocks:
        both = affine(told, block.told)
        inner = affine(h * torch.sigmoid(h), block.first) * (1 + both[:, :6]) + both[:, 6:]
        h = h + affine(inner * torch.sigmoid(inner), block.last)
    out = affine(h * torch.sigmoid(h), net.leave)
    torch.testing.assert_close(net(z, c), out, rtol=1e-10, atol=1e-10)


def test_the_unet_layer_by_layer():
    """Two sizes and two blocks: each step up sees what its step down left, the last one first."""
    net = build(UNet, (2, 5, 3), (1, 5, 3), **{**SMALL, "multipliers": (1, 2), "blocks": 2})
    z, t = images(size=(5, 3))
    told = net.conditioning(t, None, z.dtype)
    a = convolved(z, net.enter)
    b = net.down[0](a, told)
    c = net.down[1](b, told)
    d = convolved(c, net.down[2].conv)[..., ::2, ::2]
    e = net.down[3](d, told)
    f = net.down[4](e, told)
    assert (d.shape[1:], f.shape[1:]) == ((8, 3, 2), (16, 3, 2))
    h = net.middle[1].convs(net.middle[0].attention(net.middle[0].convs(f, told)), told)
    for step, kept in zip(net.up[:3], (f, e, d), strict=True):
        h = step.block(torch.cat([h, kept], 1), told)
    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :5, :3]
    h = convolved(h, net.up[3].grow.conv)
    for step, kept in zip(net.up[3:], (c, b, a), strict=True):
        h = step.block(torch.cat([h, kept], 1), told)
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


@pytest.mark.parametrize("net", [MLP((6,), (3,)), UNet((2, 8, 8), (1, 8, 8), **SMALL)])
def test_fresh_networks_answer_zero(net):
    z = draw(4, *net.in_shape, dtype=torch.float32)
    out = net(z, torch.linspace(0, 1, 4))
    assert out.shape == (4, *net.out_shape)
    assert not out.any()


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
def test_attention_is_where_it_is_asked_for(attention, places):
    """Numbers of pixels that are attended to, in order: sizes are 14 x 5, 7 x 3, 4 x 2."""
    net = build(UNet, (1, 14, 5), (1, 14, 5), **SMALL, attention=attention)
    seen = []
    for layer in net.modules():
        if isinstance(layer, Attention):
            layer.ask.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[1]))
    net(*images(1, (14, 5)))
    assert seen == places


def test_dropout_is_for_training_only():
    for net in (
        build(MLP, (3,), (2,), dropout=0.5),
        build(UNet, (2, 7, 5), (1, 7, 5), **SMALL, dropout=0.5),
    ):
        z, c = draw(3, *net.in_shape), draw(3)
        with seeded(0, "a"):
            first = net.train()(z, c)
        with seeded(0, "b"):
            other = net(z, c)
        assert not torch.allclose(first, other)
        assert torch.equal(net.eval()(z, c), net(z, c))


@pytest.mark.parametrize("name", ["mlp", "unet"])
def test_labels(name):
    cls, shape, options = (MLP, (3,), {}) if name == "mlp" else (UNet, (1, 8, 8), SMALL)
    told, plain = (build(cls, shape, shape, **options, classes=n) for n in (4, 0))
    assert (told.classes, plain.classes) == (4, 0)
    z, c = draw(2, *shape), draw(2)
    both = told(z, c, torch.tensor([1, 2]))
    torch.testing.assert_close(both[:1], told(z[:1], c[:1], torch.tensor([1])))
    assert not torch.allclose(both, told(z, c, torch.tensor([2, 1])))
    with pytest.raises(Incompatible) as caught:
        plain(z, c, torch.tensor([1, 2]))
    assert str(caught.value) == "the network has no classes: set classes, or leave labels out"


@pytest.mark.parametrize(
    ("name", "shapes", "options", "message"),
    [
        ("unet", [(2,), (1,)], {}, "in_shape must be (channels, height, width), not (2,): try mlp"),
        (
            "unet",
            [(2, 8, 8), (2,)],
            {},
            "out_shape must be (channels, height, width), not (2,): try mlp",
        ),
        (
            "unet",
            [(2, 8, 8), (1, 8, 9)],
            {},
            "in_shape (2, 8, 8) and out_shape (1, 8, 9) differ in height or width",
        ),
        ("unet", [], {"channels": 30}, "channels = 30 is not a multiple of groups = 8"),
        ("unet", [], {"multipliers": ()}, "multipliers must be positive, one or more, not ()"),
        (
            "unet",
            [],
            {"multipliers": (1, 0)},
            "multipliers must be positive, one or more, not (1, 0)",
        ),
        (
            "unet",
            [(1, 9, 7)] * 2,
            {"multipliers": (1,) * 5},
            "5 multipliers need as many sizes, but there are 4: 9 x 7, 5 x 4, 3 x 2, 2 x 1",
        ),
        (
            "unet",
            [(1, 28, 28)] * 2,
            {"attention": (14, 8)},
            "attention at height 8, which is none of 28, 14, 7",
        ),
        (
            "unet",
            [],
            {"heads": 3, "multipliers": (3, 2)},
            "heads = 3 does not divide the 64 channels that attend",
        ),
        (
            "unet",
            [],
            {"heads": 64, "multipliers": (1, 2), "attention": (8,)},
            "heads = 64 does not divide the 32 channels that attend",
        ),
        (
            "mlp",
            [(1, 8, 8)] * 2,
            {},
            "in_shape must be (numbers,), not (1, 8, 8): try unet for images",
        ),
        (
            "mlp",
            [(4,), (1, 2)],
            {},
            "out_shape must be (numbers,), not (1, 2): try unet for images",
        ),
        (
            "mlp",
            [(2,)] * 2,
            {"width": 33},
            "width = 33 is odd: cosines and sines of the time come in pairs",
        ),
    ],
)
def test_refusals(name, shapes, options, message):
    first, second = shapes or [(1, 8, 8)] * 2
    if name == "unet" and "multipliers" in options:
        options = {"channels": 32, **options}
    with pytest.raises(BadValue) as caught:
        sgmkit.create("network", name, in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"network '{name}': {message}"


# Layout, precision, compilation -----------------------------------------------------------


def formats(net, z, c):
    """The answer, and for each convolution whether channels vary fastest in what it is given."""
    last = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, x: last.append(x[0].stride(1) == 1))
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    out = net(z, c)
    for hook in hooks:
        hook.remove()
    return out, last


@pytest.mark.parametrize("cls", [UNet, NCSNpp])
def test_memory_format_is_kept(cls):
    options = SMALL if cls is UNet else {"channels": 8, "blocks": 1, "fir": True}
    net = build(cls, (2, 14, 14), (3, 14, 14), **options, attention=(7,))
    z, c = images(2, (14, 14))
    plain, last = formats(net, z, c)
    assert not any(last)
    assert plain.is_contiguous()
    net = net.to(memory_format=torch.channels_last)
    for given, first in ((z.to(memory_format=torch.channels_last), True), (z, False)):
        out, last = formats(net, given, c)
        assert last[0] == first
        assert all(last[1:])
        assert out.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(out, plain, rtol=1e-10, atol=1e-10)


def networks():
    small = {**SMALL, "multipliers": (1, 2), "attention": (7,), "dropout": 0.1, "classes": 3}
    plus = {"channels": 8, "blocks": 1, "attention": (7,), "fir": True, "classes": 3}
    return {
        "mlp": build(MLP, (4,), (2,), width=16, depth=2, classes=3, dtype=torch.float32),
        "unet": build(UNet, (2, 7, 7), (1, 7, 7), **small, dtype=torch.float32),
        "ncsnpp": build(NCSNpp, (2, 7, 7), (1, 7, 7), **plus, dtype=torch.float32),
    }


def distance(found, wanted):
    """Between two tensors, in units of the length of the second."""
    return float((found - wanted).detach().norm() / wanted.detach().norm())


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
def test_autocast(name):
    """bfloat16 where it pays; weights, their gradients and the time stay in float32."""
    net = networks()[name].eval()
    z, c = draw(8, *net.in_shape, dtype=torch.float32), torch.linspace(0.01, 0.99, 8)
    plain = net(z, c)
    plain.square().mean().backward()
    wanted = {name: value.grad for name, value in net.named_parameters() if value.grad is not None}
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(z, c)
    assert out.dtype == torch.bfloat16
    assert distance(out, plain) < 0.03
    out.float().square().mean().backward()
    for name, value in net.named_parameters():
        if name in wanted:
            assert value.grad.dtype == torch.float32
            assert distance(value.grad, wanted[name]) < 0.1


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
@pytest.mark.parametrize("training", [True, False])
def test_one_graph(name, training):
    """Compilation finds no reason to break off: nor in training, with labels, in bfloat16."""
    torch._dynamo.reset()
    net = networks()[name].train(training)
    z, c = draw(2, *net.in_shape, dtype=torch.float32), torch.tensor([0.2, 0.7])
    y = torch.tensor([0, 2]) if training else None
    with torch.autocast("cpu", torch.bfloat16, enabled=training):
        found = torch._dynamo.explain(net)(z, c, y)
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    assert found.break_reasons == []


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
def test_compiled_networks_answer_and_learn_the_same(name):
    torch._dynamo.reset()
    net = networks()[name].eval()
    z, c = draw(2, *net.in_shape, dtype=torch.float32), torch.tensor([0.2, 0.7])
    slopes = []
    for each in (net, torch.compile(net, fullgraph=True, backend="aot_eager")):
        out = each(z, c)
        slopes.append([out, *torch.autograd.grad(out.sum(), [net.enter.weight, net.leave.weight])])
    for plain, compiled in zip(*slopes, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


# Learning ---------------------------------------------------------------------------------


def learn(net, data, steps, rate):
    """Trains to predict the noise in a x + s e with a^2 + s^2 = 1, s = c; the mean squared error.

    Args:
        data: noise to clean data.
    """
    optimiser = torch.optim.Adam(net.parameters(), rate)
    noise, losses = sgmkit.SeededNoise(3, range(64)), []
    for _ in range(steps):
        eps = noise(torch.empty(64, *net.in_shape))
        s = 0.05 + 0.9 * noise.uniform(torch.empty(64))
        wide = s.view(-1, *(1 for _ in net.in_shape))
        z = (1 - wide.square()).sqrt() * data(noise) + wide * eps
        loss = (net(z, s) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_the_mlp_learns_the_noise_of_normal_data():
    """E[eps | z] = s z: what is left above it is small, and far smaller than what z tells."""
    with seeded(0, "learn"):
        net = MLP((2,), (2,), width=64, depth=2)
    losses = learn(net, lambda noise: noise.stream("data")(torch.empty(64, 2)), 400, 1e-3)
    least = 1 - (0.95**3 - 0.05**3) / 2.7  # the mean of 1 - s^2
    assert sum(losses[-100:]) / 100 == pytest.approx(least, abs=0.02)
    z, s = draw(2000, 2, dtype=torch.float32, seed=9), torch.linspace(0.05, 0.95, 2000)
    with torch.no_grad():
        excess = (net(z, s) - s[:, None] * z).square().mean()
    assert float(excess) < 0.01


def test_the_unet_learns_the_noise_of_flat_images():
    """One grey level for all pixels: a mean over the image knows the noise nearly exactly."""
    with seeded(0, "learn"):
        net = UNet((1, 7, 7), (1, 7, 7), channels=8, multipliers=(1, 2), blocks=1)
    losses = learn(net, lambda noise: noise.stream("data")(torch.empty(64, 1, 1, 1)), 60, 3e-3)
    assert losses[0] == pytest.approx(1, abs=0.1)
    assert sum(losses[-20:]) / 20 < 0.1  # a pixel alone leaves 0.68
