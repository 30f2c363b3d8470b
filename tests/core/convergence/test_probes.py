"""Noise that shows what a solver does with it."""

import pytest
import torch

from sgmkit.convergence.outcomes import CheckFailed, NotApplicable
from sgmkit.convergence.probes import LOUD, ImpulseNoise, SilentNoise


def test_silent_noise_fails_whoever_draws():
    noise = SilentNoise(3)
    for draw in (noise, noise.uniform, noise.stream("step"), noise.select(torch.tensor([1]))):
        with pytest.raises(CheckFailed, match="declares stochastic = False"):
            draw(torch.zeros(3, 1, 2))
    assert len(noise.select(torch.tensor([0, 2])).ids) == 2


def test_each_row_has_one_impulse():
    plan = ImpulseNoise(2)
    plan(torch.zeros(2, 1, 2))
    plan(torch.zeros(2, 1, 1))
    noise = ImpulseNoise(2, tuple(plan.sizes))
    first, second = noise(torch.zeros(5, 1, 2)), noise(torch.zeros(5, 1, 1))
    assert first[:, 0].tolist() == [[0, 0], [LOUD, LOUD], [1, 0], [0, 1], [0, 0]]
    assert second[:, 0].tolist() == [[0], [LOUD], [0], [0], [1]]


def test_draws_that_depend_on_the_batch_are_seen():
    noise = ImpulseNoise(1, (1,))
    with pytest.raises(CheckFailed, match="depends on the batch"):
        noise(torch.zeros(2, 1, 2))
    with pytest.raises(NotApplicable, match="uniform"):
        noise.uniform(torch.zeros(2, 1, 1))
    with pytest.raises(NotApplicable, match="parts of the batch"):
        noise.select(torch.tensor([0]))
