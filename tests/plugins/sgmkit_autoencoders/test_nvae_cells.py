"""Residual cells against the same written out."""

import itertools

import pytest
import torch
from support.nvae_parts import SMALL, build, draw
from torch import nn

from sgmkit_autoencoders.nvae import NVAE
from sgmkit_autoencoders.nvae_cells import Cell, Double, Excite, Halve, inverted


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
    layers = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(layer.momentum, layer.eps) for layer in layers} == {(0.05, 1e-5)}
    assert not net.averaged
