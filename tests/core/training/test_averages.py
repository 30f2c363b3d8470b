"""Averages of weights against their formula."""

import pytest
import torch
from torch import nn

from sgmkit.training.averages import Averages


def test_averages_follow_their_formula():
    layer = nn.Linear(1, 1, bias=False)
    layer.extra = nn.Parameter(torch.zeros(2), requires_grad=False)
    mean = Averages({"weight": layer.weight}, 0.3)
    expected = layer.weight.item()
    for step in range(1, 8):
        with torch.no_grad():
            layer.weight += step
        mean.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.item()
        assert float(mean.named()["weight"]) == pytest.approx(expected, rel=1e-6)
    assert list(mean.named()) == ["weight"]
    own = layer.weight.clone()
    with mean.in_place():
        assert torch.equal(layer.weight, mean.named()["weight"])
    assert torch.equal(layer.weight, own)
