"""The weight of the divergence over a training, and the balance of groups."""

import pytest
import torch
from support.processes import f64

from sgmkit_lsgm.annealing import balance, coefficient


def test_weight_of_the_divergence():
    weights = [coefficient(p, 0.2, 0.8, 0.25, 0.5) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert weights == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.8])
    assert [coefficient(p, 0.2, 0.8, 0.25, 0.0) for p in (0.0, 0.2, 0.3)] == [0.2, 0.2, 0.8]
    assert coefficient(0.0, 0.2, 0.8, 0.0, 0.0) == 0.8


def test_balance_keeps_its_precision():
    nats = f64([[1.0, -3.0, 2.0, 0.5], [3.0, 1.0, -2.0, 0.5]])
    size = f64([2.01, 2.01, 2.01, 0.51]) / f64([1 / 3, 1 / 3, 1 / 3, 4.0])
    assert torch.allclose(balance(nats, (3, 1)), 4 * size / size.sum(), rtol=1e-14, atol=0)
