"""Digits: those of scikit-learn, a fixed split, draws that published tables rest on."""

import hashlib

import pytest
import torch
from scipy import stats
from sklearn import datasets as sklearn_datasets

from sgmkit import BadValue, SeededNoise
from sgmkit_datasets.digits import Digits


def seeded(n, seed=0):
    return SeededNoise(seed, range(n))


def test_digits_are_those_of_scikit_learn():
    bunch = sklearn_datasets.load_digits()
    data = Digits()
    for split in ("train", "test"):
        items = data.items(split)
        ids = items.ids.numpy()
        assert items.x.shape == (data.size(split), 1, 8, 8)
        assert items.x.dtype == torch.float32
        assert items.ids.tolist() == sorted(items.ids.tolist())
        levels = (items.x + 1) * 8
        assert torch.equal(levels[:, 0].double(), torch.as_tensor(bunch.images[ids]))
        assert items.y.tolist() == bunch.target[ids].tolist()
        assert levels.unique().tolist() == list(range(data.levels))
        assert set(items.y.tolist()) == set(range(10))
    assert data.value_range == (float(items.x.min()), float(items.x.max()))
    assert data.likelihood == "discretised"
    assert data.event == (1, 8, 8)
    assert data.mixture() is None


def test_digits_split_follows_its_rule():
    digests = {i: hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(1797)}
    cut = sorted(digests.values())[297]
    test = {i for i, digest in digests.items() if digest < cut}
    assert set(Digits().items("test").ids.tolist()) == test
    assert set(Digits().items("train").ids.tolist()) == set(range(1797)) - test
    assert (Digits().size("train"), Digits().size("test")) == (1500, 297)


def test_digits_draws_are_distinct_items_in_an_order_of_the_noise():
    data = Digits()
    everything = data.draw("test", 297, seeded(297))
    assert sorted(everything.ids.tolist()) == data.items("test").ids.tolist()
    assert everything.ids.tolist() != data.items("test").ids.tolist()
    assert everything.ids.tolist() != data.draw("test", 297, seeded(297, 1)).ids.tolist()
    noise = seeded(10)
    data.draw("train", 10, noise)  # shifts nothing
    few = data.draw("test", 10, noise)
    assert few.ids.tolist() == everything.ids[:10].tolist()
    assert torch.equal(few.x, everything.x[:10])
    assert torch.equal(few.y, everything.y[:10])
    few.x.zero_()  # what a caller does to a batch does not reach the data
    assert torch.equal(data.draw("test", 10, seeded(10)).x, everything.x[:10])


def test_digits_draws_are_those_of_earlier_versions():
    """Published tables rest on them."""
    data = Digits(flip=True, dequantise=True)  # which are for training only
    batch = data.draw("test", 6, seeded(6))
    assert batch.ids.tolist() == [1110, 781, 394, 1342, 115, 1287]
    assert data.draw("train", 6, seeded(6)).ids.tolist() == [114, 15, 1413, 479, 1147, 715]
    assert torch.equal(batch.x, Digits().draw("test", 6, seeded(6)).x)
    assert torch.equal(data.items("test").x, Digits().items("test").x)


def test_digits_draws_are_uniform():
    """Every item is as likely at every place: counts over many shuffles, at places 0 and 5."""
    data, noise, runs = Digits(), seeded(6), 3000
    ids = torch.stack([data.draw("test", 6, noise).ids for _ in range(runs)])
    for place in (0, 5):
        counts = torch.bincount(ids[:, place], minlength=1797)[data.items("test").ids]
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("split", "n", "size"), [("test", 298, 297), ("train", 0, 1500)])
def test_digits_are_finite_in_number(split, n, size):
    with pytest.raises(BadValue) as caught:
        Digits().draw(split, n, seeded(n))
    expected = f"cannot draw {n} distinct {split} items of digits; ask for 1 to {size}"
    assert str(caught.value) == expected
