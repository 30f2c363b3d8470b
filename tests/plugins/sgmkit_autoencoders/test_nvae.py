"""The deep hierarchical autoencoder: its parts against formulas, its size against published ones.

The conformance suite holds what every autoencoder must do.
"""

import math

import pytest
import torch
from support.nvae_parts import SMALL, build, draw, noise

import sgmkit
from sgmkit.errors import BadValue
from sgmkit_autoencoders.nvae import NVAE

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
    ("shape", "outputs", "options", "millions", "scales"),
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
def test_parameters_are_as_many_as_published(shape, outputs, options, millions, scales):
    """LSGM's models, in millions to one decimal; its latents, the coarsest first."""
    with torch.device("meta"):
        net = NVAE(shape, (outputs, *shape[1:]), **options)
    assert round(sum(value.numel() for value in net.parameters()) / 1e6, 1) == millions
    assert net.scales == tuple(scales)


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
