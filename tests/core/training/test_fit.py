"""A training leaves the global generator alone, and takes data without items."""

import math

import torch
from support.train_fixtures import log, train


def test_laws_without_items_train(tiny):
    run = train("--data", "law")
    assert math.isfinite(log(run)[-1]["loss"])


def test_global_randomness_is_left_alone(tiny):
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)
