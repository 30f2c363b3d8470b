"""Draws and selections that no kind of noise accepts."""

import pytest
import torch
from support.noise_draws import zeros

from sgmkit.errors import BadValue
from sgmkit.noise import RecordedNoise, SeededNoise


@pytest.mark.parametrize(
    "make", [lambda: SeededNoise(0, range(3)), lambda: RecordedNoise([zeros(3, 2)])]
)
@pytest.mark.parametrize("law", ["__call__", "uniform"])
def test_bad_like(make, law):
    for like, text in (
        (zeros(2, 2), "torch.float32 (2, 2)"),
        (zeros(), "torch.float32 ()"),
        (zeros(3, 2, dtype=torch.int64), "torch.int64 (3, 2)"),
    ):
        with pytest.raises(BadValue) as caught:
            getattr(make(), law)(like)
        assert str(caught.value) == f"noise for 3 samples cannot be drawn like {text}"


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (torch.tensor([True, False]), "(2,) torch.bool"),
        (torch.tensor([[0]]), "(1, 1) torch.int64"),
        (torch.tensor([0.0]), "(1,) torch.float32"),
    ],
)
def test_bad_selection(index, text):
    for noise in (SeededNoise(0, range(3)), RecordedNoise([zeros(3, 2)])):
        with pytest.raises(BadValue) as caught:
            noise.select(index)
        expected = f"select takes positions (b,) int64 or a mask (3,) bool, not {text}"
        assert str(caught.value) == expected
