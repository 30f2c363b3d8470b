"""The training of the classifier: deterministic, for any images."""

import pytest
import torch

from sgmkit import Batch, SeededNoise
from sgmkit_datasets.digits import Digits
from sgmkit_features.classifier_training import train, untrained


def test_training_is_deterministic():
    batch = Digits().items("train")
    few = Batch(batch.x[:200], batch.y[:200], batch.ids[:200])
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    one, two = (train(untrained(Digits.event, 8, 10), few, 500).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    start = untrained(Digits.event, 8, 10).state_dict()
    assert not any(torch.equal(one[name], start[name]) for name in one)


@pytest.mark.parametrize("event", [(1, 4, 4), (3, 7, 9), (1, 28, 28), (3, 64, 64)])
def test_networks_fit_any_images(event):
    x = SeededNoise(0, range(3))(torch.empty(3, *event))
    network = untrained(event, 16, 5)
    assert network(x).shape == (3, 16)
    assert network.head(network(x)).shape == (3, 5)
