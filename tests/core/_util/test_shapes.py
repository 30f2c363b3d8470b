"""One value for each sample, over all of its coordinates."""

import pytest
import torch

from sgmkit.processes import over_event


@pytest.mark.parametrize("event", [(), (2,), (3, 4, 5)])
def test_each_sample_meets_its_own_value(event):
    state = torch.ones(4, *event)
    values = torch.arange(4, dtype=torch.float64)
    column = over_event(values, state)
    assert column.ndim == state.ndim
    assert column.dtype == torch.float32
    for row, value in zip(column * state, values.float(), strict=True):
        assert torch.equal(row, value.expand(event))


def test_one_value_serves_all_samples():
    state = torch.arange(8, dtype=torch.float64).reshape(4, 1, 2)
    assert torch.equal(over_event(torch.tensor(0.5), state) * state, 0.5 * state)


def test_truth_values_choose_rows():
    taken = over_event(torch.tensor([True, False]), torch.zeros(2, 1, 3))
    assert taken.dtype == torch.bool
    chosen = torch.where(taken, torch.ones(2, 1, 3), 0.0)
    assert torch.equal(chosen.flatten(1).sum(1), torch.tensor([3.0, 0.0]))


def test_gradients_reach_the_values():
    values = torch.ones(2, requires_grad=True)
    (over_event(values, torch.zeros(2, 3)) * torch.ones(2, 3)).sum().backward()
    assert torch.equal(values.grad, torch.tensor([3.0, 3.0]))
