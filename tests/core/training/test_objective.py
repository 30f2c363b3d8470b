"""The loss as a forward: a share of it to differentiate, and values to log."""

import torch
from torch import nn

from sgmkit import Loss, SeededNoise
from sgmkit.training.objective import Objective


class Linear(nn.Module):
    """The loss ``a sum x + progress``."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(2.0))

    def loss(self, batch, noise, progress):
        data = self.a * batch.x.sum()
        return Loss(data + progress, {"data": data, "rest": torch.tensor(progress)})


def test_the_share_of_a_part_and_the_values_to_log():
    objective, noise = Objective(Linear(), parts=4), SeededNoise(0, range(3))
    share, *values = objective(torch.ones(3, 1), None, noise.ids, noise, 0.5)
    assert objective.names == ("data", "rest")
    assert [value.item() for value in values] == [6.5, 6.0, 0.5]
    assert not any(value.requires_grad for value in values)
    share.backward()
    assert share.item() == 6.5 / 4
    assert objective.model.a.grad.item() == 3 / 4
