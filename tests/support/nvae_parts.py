"""A small NVAE's options, layers with random weights, and draws, for its tests."""

import torch
from torch import nn

import sgmkit
from sgmkit.noise import seeded

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
