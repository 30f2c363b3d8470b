"""The base of data sets: items by position, and what binarisation and dequantisation do."""

import pytest
import torch

from sgmkit import BadValue, Batch, Dataset, RecordedNoise, SeededNoise
from sgmkit.data import binarise, dequantise
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixtures import EightGaussians


def seeded(n, seed=0):
    return SeededNoise(seed, range(n))


class Four(Dataset):
    """Four items without labels, numbered from 10."""

    event = (2,)

    def size(self, split):
        return 4

    def items(self, split):
        x = torch.arange(8.0).reshape(4, 2)
        return Batch(x, None, torch.arange(10, 14))

    def draw(self, split, n, noise):
        raise NotImplementedError


class Labelled(Four):
    levels = 5
    value_range = (-2.0, 4.0)

    def items(self, split):
        items = super().items(split)
        return Batch(items.x, items.ids * 2, items.ids)


def test_items_are_taken_by_position():
    index = torch.tensor([3, 0, 3])
    batch = Labelled().take("train", index, seeded(3))
    assert batch.x.tolist() == [[6, 7], [0, 1], [6, 7]]
    assert batch.y.tolist() == [26, 20, 26]
    assert batch.ids.tolist() == [13, 10, 13]
    assert Four().take("test", index, seeded(3)).y is None
    assert (Labelled().level_width, Four().level_width) == (1.5, None)


@pytest.mark.parametrize(
    ("data", "index", "message"),
    [
        (Four(), [0, 4, 5], "cannot take train items of Four at 4; positions are 0 to 3"),
        (Four(), [0, -1], "cannot take train items of Four at -1; positions are 0 to 3"),
        (Digits(), [1500], "cannot take train items of digits at 1500; positions are 0 to 1499"),
        (
            EightGaussians(),
            [0],
            "cannot take train items of EightGaussians: every draw is fresh; draw them instead",
        ),
        (
            Four(),
            [0.0],
            "positions of train items of Four must be (n,) torch.int64, not (1,) torch.float32",
        ),
        (
            Digits(),
            [[0, 1]],
            "positions of train items of digits must be (n,) torch.int64, not (1, 2) torch.int64",
        ),
    ],
    ids=lambda x: (
        None if isinstance(x, str) else str(x) if isinstance(x, list) else type(x).__name__
    ),
)
def test_positions_that_are_none(data, index, message):
    with pytest.raises(BadValue) as caught:
        data.take("train", torch.tensor(index), seeded(len(index)))
    assert str(caught.value) == message


def test_dequantisation_adds_a_cell_around_zero():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    u = torch.tensor([[0.0, 0.25], [0.5, 1.0]], dtype=torch.float64)
    values = dequantise(x, 0.5, RecordedNoise([u]))
    assert values.tolist() == [[-0.25, 0.875], [2.0, 3.25]]
    assert dequantise(x.float(), 0.5, RecordedNoise([u])).dtype == torch.float32


def test_binarisation_compares_with_a_uniform_number():
    x = torch.tensor([[-1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    u = torch.tensor([[1e-12, 0.499], [0.751, 1 - 1e-12]], dtype=torch.float64)
    values = binarise(x, RecordedNoise([u]))
    assert values.tolist() == [[-1, 1], [-1, 1]]
    assert values.dtype == torch.float64
