"""What the tests of noise share: draws in bulk and the bound on a correlation."""

import math

import torch

from sgmkit.noise import SeededNoise

SIGMAS = 5.0  # two-sided: 6e-7 per bound; the seeds are fixed, so a pass stays a pass
P_VALUE = 1e-4


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def draws(noise, count, event, law="normal", dtype=torch.float32):
    """``(count, B, *event)``."""
    like = zeros(len(noise.ids), *event, dtype=dtype)
    call = noise if law == "normal" else noise.uniform
    return torch.stack([call(like) for _ in range(count)])


def one_million(seed=0, law="normal"):
    """1,024 samples x 16 draws x 64 elements in float64: ``(16, 1024, 64)``."""
    return draws(SeededNoise(seed, range(1024)), 16, (64,), law, torch.float64)


def uncorrelated(x, y):
    """Both the numbers and their squares, within `SIGMAS` of nought."""
    for a, b in ((x, y), (x.square(), y.square())):
        a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
        rho = float(a @ b / (a.norm() * b.norm()))
        assert abs(rho) < SIGMAS / math.sqrt(a.numel())
