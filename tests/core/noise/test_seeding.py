"""Torch's global generator within `seeded`: a function of seed and purpose, restored afterwards."""

import pytest
import torch

from sgmkit.noise import seeded


def weights(seed, *purpose):
    with seeded(seed, *purpose):
        return torch.nn.Linear(3, 3).weight.detach()


def test_weights_depend_on_seed_and_purpose_only():
    first = weights(3, "network", 4)
    torch.nn.functional.dropout(torch.ones(5))  # whatever was drawn before
    assert torch.equal(weights(3, "network", 4), first)
    for others in ((4, "network", 4), (3, "prior", 4), (3, "network", 5), (3, "network")):
        assert not torch.equal(weights(*others), first)


def test_the_generator_is_restored():
    before = torch.get_rng_state()
    weights(3, "network")
    with pytest.raises(ZeroDivisionError), seeded(0):
        torch.nn.Linear(2, 2 // 0)
    assert torch.equal(torch.get_rng_state(), before)
