"""Convolutions with weight normalisation against their formula."""

import math

import torch
from support.nvae_parts import SMALL, build, draw
from torch import nn
from torch.nn.utils import parametrize

from sgmkit.noise import seeded
from sgmkit_autoencoders.nvae import NVAE
from sgmkit_autoencoders.nvae_convs import normed


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
    convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    lengths = [layer for layer in convs if parametrize.is_parametrized(layer, "weight")]
    assert len(lengths) == len(convs) > 50
    for layer in lengths:
        lengths_of_weights = layer.parametrizations.weight[0].log_length.flatten().exp()
        length = layer.weight.flatten(1).norm(dim=1)
        whole = length > 0  # a mask may leave a channel nothing to see
        torch.testing.assert_close(length[whole], lengths_of_weights[whole], rtol=1e-2, atol=0)
    with parametrize.cached():
        assert convs[0].weight is convs[0].weight


def test_masks_are_part_of_the_state():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    masks = {name: value for name, value in net.state_dict().items() if name.endswith("mask")}
    assert len(masks) == 4 * 2 * 3
    assert {value.dtype for value in masks.values()} == {torch.bool}
    assert not {*masks} & {name for name, _ in net.named_parameters()}
