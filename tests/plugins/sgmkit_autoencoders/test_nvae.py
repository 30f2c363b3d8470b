"""The deep hierarchical autoencoder: its parts against formulas, its size against published ones.

The conformance suite holds what every autoencoder must do.
"""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import sgmkit
from sgmkit.errors import BadValue
from sgmkit.noise import seeded
from sgmkit_autoencoders.nvae import NVAE
from sgmkit_autoencoders.nvae_cells import Cell, Double, Excite, Halve, inverted
from sgmkit_autoencoders.nvae_convs import normed
from sgmkit_autoencoders.nvae_flow import Shift, flow

SMALL = {
    "channels": 8,
    "multipliers": (1, 2, 3),
    "blocks": 1,
    "cells": 2,
    "latent_scales": 2,
    "groups": 2,
    "latents": 2,
    "flows": 1,
    "input_skip": True,
    "architecture": "bnswish",
}


def draw(*shape, dtype=torch.float64, seed=0):
    return sgmkit.SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=dtype))


def noise(count=2, seed=0):
    return sgmkit.SeededNoise(seed, range(count))


def build(cls, *args, dtype=torch.float64, **options):
    """One whose parameters and statistics are no special values, out of training."""
    with seeded(0, "test"):
        net = cls(*args, **options).to(dtype)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * draw(*value.shape, dtype=dtype)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean += 0.1 * draw(len(layer.running_mean), dtype=dtype)
                layer.running_var *= (0.1 * draw(len(layer.running_var), dtype=dtype)).exp()
    return net.eval()


# Size -------------------------------------------------------------------------------------

MNIST = {"channels": 64, "multipliers": (1, 2, 2), "blocks": 2, "cells": 3}
OMNIGLOT = {"channels": 64, "multipliers": (1, 2), "blocks": 1, "cells": 2, "groups": 3}
CIFAR = {
    "channels": 128,
    "multipliers": (1, 2),
    "blocks": 1,
    "cells": 2,
    "groups": 20,
    "latents": 9,
    "encoder_cells": 2,
    "decoder_cells": 2,
    "architecture": "bnswish",
}
LIKELY = {
    **CIFAR,
    "channels": 256,
    "cells": 3,
    "groups": 4,
    "latents": 45,
    "encoder_cells": 3,
    "decoder_cells": 3,
    "flows": 2,
}
FACES = {
    "channels": 64,
    "blocks": 1,
    "cells": 2,
    "encoder_cells": 2,
    "decoder_cells": 2,
    "flows": 2,
    "input_skip": True,
}


@pytest.mark.parametrize(
    ("shape", "told", "options", "millions", "scales"),
    [
        ((3, 32, 32), 100, CIFAR, 100.9, [(180, 16, 16)]),
        ((3, 32, 32), 100, LIKELY, 130.6, [(180, 16, 16)]),
        ((1, 28, 28), 1, MNIST, 3.0, [(40, 8, 8)]),
        ((1, 28, 28), 1, {}, 3.0, [(40, 8, 8)]),
        (
            (1, 28, 28),
            1,
            {**OMNIGLOT, "encoder_cells": 3, "decoder_cells": 3},
            5.4,
            [(60, 16, 16)],
        ),
        (
            (3, 256, 256),
            100,
            {**FACES, "multipliers": (1, 1, 2, 4), "latent_scales": 3, "groups": 8},
            51.3,
            [(160, 32, 32), (160, 64, 64), (160, 128, 128)],
        ),
        (
            (3, 256, 256),
            100,
            {**FACES, "multipliers": (1, 1, 2), "latent_scales": 2, "groups": 10},
            17.8,
            [(200, 64, 64), (200, 128, 128)],
        ),
    ],
    ids=["cifar", "cifar-nll", "mnist", "defaults", "omniglot", "faces-nll", "faces"],
)
def test_parameters_are_as_many_as_published(shape, told, options, millions, scales):
    """LSGM's models, in millions to one decimal; its latents, the coarsest first."""
    with torch.device("meta"):
        net = NVAE(shape, (told, *shape[1:]), **options)
    assert round(sum(value.numel() for value in net.parameters()) / 1e6, 1) == millions
    assert net.scales == tuple(scales)


# Weight normalisation ---------------------------------------------------------------------


def test_weights_are_normalised():
    """w = exp(s) v / (|v| + 1e-5) for each output channel, and that is what convolves."""
    layer = build(normed, 3, 4, 3)
    parts = layer.parametrizations.weight
    v, s = parts.original.detach(), parts[0].log_length.detach()
    assert s.shape == (4, 1, 1, 1)
    for o in range(4):
        w = math.exp(s[o]) * v[o] / (math.sqrt((v[o] ** 2).sum()) + 1e-5)
        torch.testing.assert_close(layer.weight[o].detach(), w, rtol=1e-12, atol=0)
    x = draw(2, 3, 5, 6)
    wanted = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    assert torch.equal(layer(x), wanted)


def test_lengths_start_close_to_those_of_the_weights():
    with seeded(0, "test"):
        layer = normed(3, 4, 3, gain=0.1)
        other = nn.Conv2d(3, 4, 3)
    parts = layer.parametrizations.weight
    length = parts.original.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(parts[0].log_length.flatten().exp(), length + 0.01)
    with seeded(0, "test"):
        other = nn.Conv2d(3, 4, 3)
    torch.testing.assert_close(parts.original, 0.1 * other.weight)


def test_effective_weights_are_there_for_a_regulariser():
    """Every convolution with a trained length shows it as the length of its ``weight``."""
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    found = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    lengths = [layer for layer in found if parametrize.is_parametrized(layer, "weight")]
    assert len(lengths) == len(found) > 50
    for layer in lengths:
        told = layer.parametrizations.weight[0].log_length.flatten().exp()
        length = layer.weight.flatten(1).norm(dim=1)
        whole = length > 0  # a mask may leave a channel nothing to see
        torch.testing.assert_close(length[whole], told[whole], rtol=1e-2, atol=0)
    with parametrize.cached():
        assert found[0].weight is found[0].weight


# Flows ------------------------------------------------------------------------------------


def jacobian(layer, z):
    """``(n, n)`` in the order of reading: rows, places in a row, channels of a place."""
    full = torch.autograd.functional.jacobian(layer, z[None])[0, :, :, :, 0]
    return full.permute(1, 2, 0, 4, 5, 3).reshape(z.numel(), z.numel())


@pytest.mark.parametrize("mirrored", [False, True])
def test_shifts_are_autoregressive(mirrored):
    """Triangular with ones on the diagonal, and no place that it could see is left out."""
    layer, (c, h, w) = build(Shift, 3, mirrored), (3, 5, 6)
    found = jacobian(layer, draw(c, h, w))
    found = found.flip(0, 1) if mirrored else found
    n = c * h * w
    assert torch.equal(found.diagonal(), torch.ones(n, dtype=found.dtype))
    assert not found.triu(1).any()
    assert float(torch.linalg.slogdet(found).logabsdet) == 0
    last = found[-1].reshape(h, w, c)[1:, 2:].flatten()[:-1]  # 3 x 3 after 5 x 5: four rows up
    assert bool((last != 0).all())


def test_pairs_of_flows_keep_volumes_and_let_all_see_all():
    layer = build(flow, 2, 2)
    found = jacobian(layer, draw(2, 3, 4))
    assert float(torch.linalg.slogdet(found).logabsdet) == pytest.approx(0, abs=1e-12)
    assert bool((found != 0).all())


def test_shifts_are_inverted_number_by_number():
    """The direction is from the draw to the latents; back takes a pass for every number."""
    layer, base = build(Shift, 2, False), draw(1, 2, 3, 4)
    z, back = layer(base), torch.zeros_like(base)
    for _ in range(base.numel()):
        back = z + (back - layer(back))
    torch.testing.assert_close(back, base, rtol=1e-12, atol=1e-12)


def test_fresh_shifts_are_a_tenth_of_convolutions():
    with seeded(0, "test"):
        layer = Shift(16, False)
    weights = layer.leave.parametrizations.weight.original.detach()
    spread = 1 / math.sqrt(3 * 96)  # of what torch starts with
    assert float(weights.std()) == pytest.approx(0.1 * spread, rel=0.05)


def test_masks_are_part_of_the_state():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    masks = {name: value for name, value in net.state_dict().items() if name.endswith("mask")}
    assert len(masks) == 4 * 2 * 3
    assert {value.dtype for value in masks.values()} == {torch.bool}
    assert not {*masks} & {name for name, _ in net.named_parameters()}


# Cells ------------------------------------------------------------------------------------


def by_norm(x, norm):
    """Batch norm out of training."""
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    return (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def swish(x):
    return x * torch.sigmoid(x)


def twice(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def at_place(x, layer):
    """A 1 x 1 convolution."""
    out = torch.einsum("oc,bchw->bohw", layer.weight[..., 0, 0], x)
    return out if layer.bias is None else out + layer.bias[:, None, None]


@pytest.mark.parametrize("step", ["same", "down", "up"])
def test_plain_cells(step):
    outputs = {"same": 4, "down": 6, "up": 2}[step]
    cell, x = build(Cell, 4, outputs, step), draw(2, 4, 6, 8)
    first_norm, first, last_norm, last = (cell.branch[i] for i in (0, 2 + (step == "up"), -4, -2))
    h = swish(by_norm(x, first_norm))
    h = first(twice(h) if step == "up" else h)
    h = last(swish(by_norm(h, last_norm)))
    assert first.stride == ((2, 2) if step == "down" else (1, 1))
    excite = cell.branch[-1].weigh
    a = torch.relu(h.mean((2, 3)) @ excite[0].weight.mT + excite[0].bias)
    a = torch.sigmoid(a @ excite[2].weight.mT + excite[2].bias)
    out = cell.skip(x) + 0.1 * h * a[:, :, None, None]
    torch.testing.assert_close(cell(x), out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", ["same", "up"])
def test_inverted_cells(step):
    """As published the image grows first; here before the convolution that sees neighbours."""
    cell = build(Cell, 3, 3, step, wider=6, squeeze=False)
    norms = [layer for layer in cell.branch if isinstance(layer, nn.BatchNorm2d)]
    convs = [layer for layer in cell.branch if isinstance(layer, nn.Conv2d)]
    assert [layer.bias for layer in convs] == [None] * 3
    assert (convs[1].groups, convs[1].kernel_size) == (18, (5, 5))
    x = draw(2, 3, 4, 5)
    h = by_norm(twice(x) if step == "up" else x, norms[0])
    h = swish(by_norm(at_place(h, convs[0]), norms[1]))
    h = swish(by_norm(convs[1](h), norms[2]))
    h = by_norm(at_place(h, convs[2]), norms[3])
    torch.testing.assert_close(cell(x), cell.skip(x) + 0.1 * h, rtol=1e-10, atol=1e-10)
    assert inverted(2, 4, "down", 3)(draw(2, 2, 4, 6, dtype=torch.float32)).shape == (2, 4, 2, 3)


def test_the_skip_down_takes_each_pixel_of_a_square():
    skip, x = build(Halve, 3, 6), draw(2, 3, 4, 6)
    a, parts = swish(x), []
    for (i, j), layer in zip(itertools.product((0, 1), (0, 1)), skip.parts, strict=True):
        parts.append(at_place(a[..., i::2, j::2], layer))
    assert [part.shape[1] for part in parts] == [1, 1, 1, 3]
    torch.testing.assert_close(skip(x), torch.cat(parts, 1), rtol=1e-10, atol=1e-10)


def test_the_skip_up_is_linear_between_corners():
    skip = build(Double, 1, 1)
    x = torch.arange(3.0, dtype=torch.float64).view(1, 1, 3, 1) + torch.zeros(4)
    ramp = torch.linspace(0, 2, 6, dtype=x.dtype).view(1, 1, 6, 1) + torch.zeros(8)
    torch.testing.assert_close(skip(x), at_place(ramp, skip.conv), rtol=1e-10, atol=1e-10)


def test_excitation_is_narrow():
    assert [Excite(width).weigh[0].out_features for width in (8, 64, 256)] == [4, 4, 16]


def test_statistics_move_by_a_twentieth():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    found = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(layer.momentum, layer.eps) for layer in found} == {(0.05, 1e-5)}
    assert not net.averaged


# The whole --------------------------------------------------------------------------------


def test_the_encoder_layer_by_layer():
    net = build(NVAE, (2, 8, 8), (1, 8, 8), **SMALL)
    tower, x = net.encoder, draw(2, 2, 8, 8)
    h = tower.stem(x)
    for cell in tower.before:
        h = cell(h)
    assert h.shape[1:] == (16, 4, 4)
    level = h
    one = tower.groups[0](h)
    two = tower.groups[1](one)
    h = tower.down[0](two) + tower.pyramid[0](level)
    assert h.shape[1:] == (24, 2, 2)
    three = tower.groups[2](h)
    four = tower.groups[3](three)
    for found, wanted in zip(tower(x), (four, three, two, one), strict=True):
        assert torch.equal(found, wanted)


def test_drawing_and_decoding_step_by_step():
    """Each group looks at the encoder and at the state; each z moves the state."""
    net = build(NVAE, (2, 8, 8), (3, 8, 8), **SMALL)
    x, tower = draw(2, 2, 8, 8), net.decoder
    found, source = net.encode(x, noise()), noise()
    state = tower.start[None].repeat(2, 1, 1, 1)
    for place, feature in enumerate(net.encoder(x)):
        group, (scale, part) = tower.groups[place], divmod(place, 2)
        assert (group.look is None) == (place == 0)
        h = feature + group.look(state) if place else feature
        told = group.ask(nn.functional.elu(h))
        mean, std = 5 * torch.tanh(told[:, :2] / 5), (5 * torch.tanh(told[:, 2:] / 5)).exp()
        base = mean + std * source(mean)
        z = group.flow[1](group.flow[0](base))
        for name, wanted in {"z": z, "mean": mean, "std": std, "base": base}.items():
            values = getattr(found[scale], name)[:, 2 * part : 2 * part + 2]
            torch.testing.assert_close(values, wanted, rtol=1e-10, atol=1e-10)
        state = group.join(torch.cat([state, group.tell(z)], 1))
        state = group.cells(state)
        if place == 1:
            state = tower.up[0](state)
    assert state.shape[1:] == (16, 4, 4)
    out = tower.leave(nn.functional.elu(tower.after(state)))
    torch.testing.assert_close(net.decode([each.z for each in found]), out)
    assert [each.groups for each in found] == [(2, 2), (2, 2)]


def test_the_state_is_the_same_in_drawing_and_decoding():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    states = []
    for group in net.decoder.groups:
        group.register_forward_hook(lambda _, given, out: states.append(out))
    found = net.encode(draw(2, 1, 8, 8), noise())
    drawn = states[:]
    states.clear()
    net.decode([each.z for each in found])
    assert (len(drawn), len(states)) == (3, 4)  # nothing is drawn after the last
    assert all(map(torch.equal, drawn, states[:3]))


class Changed(sgmkit.SeededNoise):
    """Other numbers in one of the draws."""

    place = -1

    def __call__(self, like):
        self.place -= 1
        return super().__call__(like) + (1 if self.place == -2 else 0)


@pytest.mark.parametrize("place", range(4))
def test_later_groups_depend_on_earlier_ones_only(place):
    net, x = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL), draw(2, 1, 8, 8)
    other = Changed(0, range(2))
    other.place += place
    one, two = (
        [part for each in net.encode(x, source) for part in each.mean.chunk(2, 1)]
        for source in (noise(), other)
    )
    same = [torch.equal(a, b) for a, b in zip(one, two, strict=True)]
    assert same == [i <= place for i in range(4)]


def test_without_flows_there_is_no_base():
    for flows in (0, 1):
        net = build(NVAE, (1, 8, 8), (1, 8, 8), **{**SMALL, "flows": flows})
        for each in net.encode(draw(2, 1, 8, 8), noise()):
            assert (each.base is None) == (flows == 0)


def test_bounds_hold_however_large_the_weights():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL, limit=2.0)
    with torch.no_grad():
        for group in net.decoder.groups:
            group.ask.bias.copy_(torch.tensor([1e6, -1e6] * 2))
    for each in net.encode(draw(2, 1, 8, 8), noise()):
        mean, std = each.mean.detach(), each.std.detach()
        assert (float(mean.min()), float(mean.max())) == (-5, 5)
        assert float(std.max()) == pytest.approx(math.exp(2))
        assert float(std.min()) == pytest.approx(math.exp(-2))


@pytest.mark.parametrize(
    ("size", "whole", "left", "top"),
    [((28, 28), (32, 32), 2, 2), ((7, 9), (8, 16), 3, 0), ((8, 8), (8, 8), 0, 0)],
)
def test_images_are_padded_on_each_side_and_cropped(size, whole, left, top):
    shape = (2, *size)
    net, wide = (build(NVAE, (2, *each), (3, *each), **SMALL) for each in (size, whole))
    wide.load_state_dict(net.state_dict())
    assert net.scales == wide.scales
    x = draw(2, *shape)
    large = torch.full((2, 2, *whole), -1.0, dtype=x.dtype)
    inside = (..., slice(top, top + size[0]), slice(left, left + size[1]))
    large[inside] = x
    one, two = net.encode(x, noise()), wide.encode(large, noise())
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.z, b.z)
    z = [each.z for each in one]
    assert torch.equal(net.decode(z), wide.decode(z)[inside])


def test_a_multiple_may_be_set():
    assert NVAE((1, 12, 12), (1, 12, 12), **SMALL, multiple=1).scales[0] == (4, 3, 3)
    assert NVAE((1, 12, 12), (1, 12, 12), **SMALL, multiple=6).scales[0] == (4, 3, 3)
    assert NVAE((1, 12, 12), (1, 12, 12), **SMALL).scales[0] == (4, 4, 4)


def test_rows_mix_in_training_only():
    net, x = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL), draw(2, 1, 8, 8)
    for training in (False, True):
        net.train(training)
        whole, part = (net.encode(x[:n], noise(n))[0].z[:1].detach() for n in (2, 1))
        assert torch.allclose(whole, part) != training


def test_half_precision_draws_in_single():
    net, x = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL, dtype=torch.float32), draw(2, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net.encode(x.float(), noise())
        out = net.decode([each.z for each in mixed])
    assert out.dtype == torch.bfloat16
    plain = net.encode(x.float(), noise())
    half = net.bfloat16()
    for each, exact in zip([*mixed, *half.encode(x.bfloat16(), noise())], plain * 2, strict=True):
        assert {each.z.dtype, each.mean.dtype, each.std.dtype} == {torch.float32}
        assert float((each.mean - exact.mean).detach().norm() / exact.mean.detach().norm()) < 0.05
    assert half.decode([each.z for each in mixed]).dtype == torch.bfloat16


def test_options_reach_it_by_name():
    spec = "nvae:channels=8:decoder_channels=16:multipliers=(1,2):blocks=0:latent_scales=2:groups=1"
    net = sgmkit.create(
        "autoencoder", f"{spec}:latents=3:flows=2", in_shape=(1, 9, 9), out_shape=(2, 9, 9)
    )
    assert net.scales == ((3, 8, 8), (3, 16, 16))
    assert len(net.decoder.groups[0].flow) == 4
    assert net.decoder.start.shape == (32, 8, 8)
    assert net.encoder.stem.out_channels == 8


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(2,), (2,)], {}, "in_shape must be (channels, height, width), not (2,)"),
        ([(1, 8, 8), (8, 8)], {}, "out_shape must be (channels, height, width), not (8, 8)"),
        (
            [(1, 8, 8), (1, 8, 9)],
            {},
            "in_shape (1, 8, 8) and out_shape (1, 8, 9) differ in height or width",
        ),
        (
            [(1, 8, 3)] * 2,
            {},
            "8 x 3 is too small for 2 halvings: set fewer blocks or latent_scales",
        ),
        (
            [],
            {"multipliers": (1, 2)},
            "multipliers must be 3 positive numbers, for 2 blocks and 1 scales, not (1, 2)",
        ),
        (
            [],
            {"multipliers": (1, 2, 0)},
            "multipliers must be 3 positive numbers, for 2 blocks and 1 scales, not (1, 2, 0)",
        ),
    ],
)
def test_refusals(shapes, options, message):
    first, second = shapes or [(1, 8, 8)] * 2
    with pytest.raises(BadValue) as caught:
        sgmkit.create("autoencoder", "nvae", in_shape=first, out_shape=second, **options)
    assert str(caught.value) == f"autoencoder 'nvae': {message}"
