"""The state of a training: its progress, which never falls, and what a checkpoint of it holds."""

import pytest
from support.train_fixtures import tensors, train
from torch import nn

from sgmkit.training import checkpoint
from sgmkit.training.recipe import Settings
from sgmkit.training.state import State


class Model(nn.Module):
    """One weight, in a group of its own rate."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def parameter_groups(self):
        return [{"params": [self.layer.weight]}, {"params": [self.layer.bias], "scale": 0.5}]

    def averaged_parameters(self):
        return dict(self.named_parameters())


def test_rates_of_groups_keep_their_ratio():
    state = State(Model(), Settings(steps=20, lr=0.2, warmup=4, lr_end=0.1))
    rates = []
    for step in range(20):
        state.step = step
        state.begin_step()
        first, second = (group["lr"] for group in state.optimiser.param_groups)
        assert second == pytest.approx(first / 2)
        assert state.rate == first
        rates.append(first)
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert rates[12] == pytest.approx(0.2 * 0.55)  # half way down the cosine


def test_progress_is_the_share_of_steps_and_never_falls():
    state = State(Model(), Settings(steps=10))
    assert state.progress == 0
    for step in (0, 3, 7):
        state.step = step
        state.begin_step()
        assert state.progress == step / 10
    longer = State(Model(), Settings(steps=20))
    longer.step, longer.progress = 8, state.progress
    for step, progress in ((8, 0.7), (13, 0.7), (15, 0.75)):
        longer.step = step
        longer.begin_step()
        assert longer.progress == progress


def test_a_longer_training_goes_on_at_the_progress_that_it_had(tiny):
    """With ``late`` the scale is trained in the second half only, of whatever number of steps."""
    options = ["--model", "tiny:late=0.5"]
    run = train(*options)
    assert checkpoint.facts_of(run.latest()).progress == 11 / 12
    train(*options, "--resume", "--steps", "30")
    assert tensors(run)["optimiser/scale/step"] == 6 + 18
