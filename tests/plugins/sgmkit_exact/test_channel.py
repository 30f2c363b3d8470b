"""Mixtures through one channel: special cases, digits, chunks and memory."""

import math
import weakref

import numpy as np
import pytest
import torch
from support.golden_solvers_data import Items, close, numbers

from sgmkit import SeededNoise
from sgmkit_exact.channel import DiagonalChannel, EqualChannel
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP


def test_equal_variances_are_a_special_case():
    x, v = numbers(40, 3), torch.tensor([0.3, 2.0, 1e-4, 50.0], dtype=torch.float64)
    equal = EqualChannel(x, 0.01)
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    general = DiagonalChannel(weights, x, torch.full_like(x, 0.01))
    y = numbers(4, 3, seed=1)
    for noise in (v, v[0]):
        for one, other in zip(equal(y, noise), general(y, noise), strict=True):
            assert close(one, other, 1e-10)
    away = EqualChannel(x + 1e4, 0.01)(y + 1e4, v[2])  # distances keep their digits anywhere
    for one, other in zip(away, equal(y, v[2]), strict=True):
        assert close(one, other, 1e-7)
    far = equal(1e3 * y, v[3])
    for one, other in zip(far, general(1e3 * y, v[3]), strict=True):
        assert close(one, other, 1e-9)


@pytest.mark.parametrize("kind", ["equal", "diagonal"])
@pytest.mark.parametrize("size", [1, 40, 1000])
def test_chunks_change_nothing(kind, size):
    x, y = numbers(37, 3), 3 * numbers(5, 3, seed=1)
    weights = (numbers(37, seed=2) / 2).softmax(0)
    variances = 0.1 + numbers(37, 3, seed=3).square()
    equal = kind == "equal"
    channel = EqualChannel(x, 0.2) if equal else DiagonalChannel(weights, x, variances)
    v = torch.tensor([1e-3, 0.1, 1.0, 10.0, 1e3], dtype=torch.float64)
    whole = channel(y, v)
    channel.elements = size
    assert channel.chunk_size(5) < 37 or size == 1000
    for one, other in zip(whole, channel(y, v), strict=True):
        assert close(one, other, 1e-12)


def test_density_never_exceeds_its_peak():
    """At an item itself and with hardly any noise, distances round to zero or above."""
    x, v = 10 * numbers(50, 6), torch.tensor(1e-18, dtype=torch.float64)
    _, evidence = EqualChannel(x, 0.0)(x, v)
    assert float(evidence.max()) <= -math.log(50) - 3 * math.log(2 * math.pi * 1e-18) + 1e-9


def test_chunks_change_no_likelihood():
    model, x = Exact(VP(), Items(numbers(9, 2)), bandwidth=0.5), numbers(2, 2, seed=1)
    whole = model.nll(x, SeededNoise(0, range(2)), rtol=1e-4, atol=1e-4)
    model.channel.elements = 12
    parts = model.nll(x, SeededNoise(0, range(2)), rtol=1e-4, atol=1e-4)
    assert close(parts.nats, whole.nats, 1e-12)


def test_memory_is_bounded(monkeypatch):
    """No temporary beyond so many elements, and chunks are merged as they come: for any batch."""
    points = torch.zeros(50_000, 784)
    diagonal = DiagonalChannel(points[:, 0] + 1, points, points + 1)
    for channel in (EqualChannel(points, 0.01), diagonal):
        for rows in (1, 4, 64, 1000, 10_000):
            chunk = max(1, channel.chunk_size(rows))
            assert chunk * rows <= channel.elements == 1 << 23
            assert chunk * 784 <= channel.elements
    alive = []
    small = EqualChannel(numbers(64, 8), 0.01)
    small.elements = 8 * 4
    evaluate = small.evaluate

    def watched(y, v, part):
        logits, residual = evaluate(y, v, part)
        alive.append(weakref.ref(residual))
        assert sum(ref() is not None for ref in alive) <= 2
        return logits, residual

    monkeypatch.setattr(small, "evaluate", watched)
    small(numbers(4, 8), torch.tensor(0.1, dtype=torch.float64))
    assert len(alive) == 16


def test_fifty_thousand_images_fit():
    x = torch.from_numpy(np.random.default_rng(0).random((50_000, 784), dtype=np.float32))
    model = Exact(VP(), Items(x))
    t = torch.tensor(0.02, dtype=torch.float64)
    kernel = model.sde.kernel(t)
    picked = torch.tensor([0, 17, 49_999, 25_000])
    u = kernel.mean[0] * x[picked].double() + kernel.chol[0, 0] * numbers(4, 784)
    denoised = model.reverse(SeededNoise(0, range(4))).denoise(u[:, None], t)
    spread, noise = 0.1**2, kernel.cov[0, 0] / kernel.mean[0] ** 2
    nearest = (x[picked].double() * noise + u / kernel.mean[0] * spread) / (spread + noise)
    assert close(denoised, nearest, 1e-9)  # other items are too far to matter
