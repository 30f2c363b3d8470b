"""Copies of modules, perturbed reproducibly, and inputs for them."""

import torch
from torch import nn

from sgmkit.testing.weights import copied, moved, numbers


def test_a_perturbed_copy_leaves_the_module_alone():
    module = nn.Linear(2, 3)
    nn.init.zeros_(module.weight)
    one, other = moved(module), moved(module)
    assert module.weight.abs().max() == 0
    assert one.weight.dtype == torch.float64
    assert 0 < one.weight.abs().max() < 0.2
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(copied(module).weight, module.weight.double())


def test_numbers_depend_on_their_purpose_only():
    like = torch.empty(4, 3)
    assert torch.equal(numbers(like, "a"), numbers(like, "a"))
    assert not torch.equal(numbers(like, "a"), numbers(like, "b"))
    assert torch.equal(numbers(like[:2], "a"), numbers(like, "a")[:2])
