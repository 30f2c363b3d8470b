"""The defaults of a model: its process, its facts and the options of its likelihood."""

import pytest
import torch

from sgmkit import Batch, Incompatible, Likelihood, Model, Reverse, SeededNoise
from sgmkit.likelihoods import FlowOptions
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP


class Minimal(Model):
    """A model as a stranger writes it: `reverse` and `decode`, and nothing else."""

    event = (2,)

    def __init__(self):
        super().__init__()
        self.process = CLD()

    def reverse(self, noise, y=None):
        return Reverse(self.process, lambda u, t: torch.zeros_like(u[:, 1:]), noise)

    def decode(self, u, noise=None):
        return u[:, 0]


class Stated(Minimal):
    """One that states its process."""

    def __init__(self):
        super().__init__()
        self.sde = VP()


def test_the_process_is_that_of_reverse_unless_stated():
    model = Minimal()
    assert model.sde is model.process
    assert Stated().sde == VP()
    assert model.start(SeededNoise(0, range(3))).shape == (3, 2, 2)


def test_facts_have_defaults():
    model = Minimal()
    assert (model.trainable, model.states_law, model.discrete, model.partial) == (
        True,
        *[False] * 3,
    )
    with pytest.raises(Incompatible, match=r"^Minimal has nothing to train$"):
        model.loss(Batch(torch.zeros(1, 2), None, torch.arange(1)), SeededNoise(0, [0]), 0.0)


def test_without_a_law_an_observation_is_the_decoded_state():
    model, noise = Minimal(), SeededNoise(0, range(3))
    u = model.start(noise)
    assert torch.equal(model.observe(u, noise), model.decode(u))


def test_options_of_the_likelihood_travel_as_one_value():
    calls = []

    class Recorded(Minimal):
        def flow_nll(self, x, noise, t_min, options, y=None):
            calls.append((x.dtype, t_min, options, y))
            return Likelihood(x[:, 0], x[:, 0], "ode")

    model, x = Recorded().double(), torch.zeros(3, 2)
    model.register_buffer("like", torch.zeros(0, dtype=torch.float64))
    noise, labels = SeededNoise(0, range(3)), torch.arange(3)
    model.nll(x, noise)
    model.nll(x, noise, probes=2, rtol=1e-3, atol=1e-4, t_min=0.1, y=labels)
    assert calls == [
        (torch.float64, model.t_min, FlowOptions(None, 1e-5, 1e-5), None),
        (torch.float64, 0.1, FlowOptions(2, 1e-3, 1e-4), labels),
    ]
