"""What training and evaluation see of images: flips, binarisation, dequantisation."""

import pytest
import torch
from scipy import stats

from sgmkit import BadValue, RecordedNoise, SeededNoise, create
from sgmkit_datasets.digits import Digits


def seeded(n, seed=0):
    return SeededNoise(seed, range(n))


def test_without_options_items_are_taken_as_they_are():
    index = torch.tensor([0, 296, 0, 7])
    items, batch = Digits().items("test"), Digits().take("test", index, RecordedNoise([]))
    for taken, whole in ((batch.x, items.x), (batch.y, items.y), (batch.ids, items.ids)):
        assert torch.equal(taken, whole[index])


def test_half_of_what_is_taken_is_flipped_from_left_to_right():
    n = 1500
    index = torch.arange(n)
    plain = Digits().take("train", index, seeded(n)).x
    x = Digits(flip=True).take("train", index, seeded(n)).x
    same, turned = ((x == y).flatten(1).all(1) for y in (plain, plain.flip(-1)))
    assert bool((same | turned).all())
    assert not bool((same & turned).any())  # no digit is its own mirror image
    assert stats.binomtest(int(turned.sum()), n).pvalue > 1e-3
    other = Digits(flip=True).take("train", index, seeded(n, 1)).x
    assert not torch.equal(x, other)
    used = seeded(n)
    used.uniform(torch.empty(n))  # the caller's own stream, which is left alone
    assert torch.equal(x, Digits(flip=True).take("train", index, used).x)
    flips = RecordedNoise([torch.tensor([0.499, 0.501, 0.0, 1.0])])
    x = Digits(flip=True).take("train", index[:4], flips).x
    assert torch.equal(x, torch.stack([plain[0].flip(-1), plain[1], plain[2].flip(-1), plain[3]]))


def test_dequantised_values_fill_the_cells_of_their_levels():
    n = 400
    index, noise = torch.arange(n) % 100, seeded(n)
    plain = Digits().take("train", index, noise).x.double()
    x = Digits(dequantise=True).take("train", index, noise).x
    assert x.dtype == torch.float32
    place = (x.double() - plain) * 8 + 0.5  # levels are 1/8 apart
    assert stats.kstest(place.flatten()[::3].numpy(), "uniform").pvalue > 1e-3
    both = Digits(flip=True, dequantise=True).take("train", index, seeded(n)).x
    flipped = Digits(flip=True).take("train", index, seeded(n)).x
    off = (both - flipped) - (x - plain)
    assert float(off.abs().max()) < 1e-6  # neither shifts the other's noise


def test_binarised_values_are_ones_as_often_as_the_grey_says():
    n, data = 1200, Digits(binarise=True)
    index = torch.arange(n) % 3
    x = data.take("train", index, seeded(n)).x
    assert x.dtype == torch.float32
    assert x.unique().tolist() == [-1, 1]
    share = (Digits().items("train").x[:3].double() + 1) / 2
    grey = (share > 0) & (share < 1)
    for item in range(3):
        count = (x[index == item] > 0).sum(0)
        sure = ~grey[item]
        assert torch.equal(count[sure], (400 * share[item])[sure].long())
        tests = [
            stats.binomtest(int(k), 400, float(p)).pvalue
            for k, p in zip(count[grey[item]], share[item][grey[item]], strict=True)
        ]
        assert stats.kstest(tests, "uniform").pvalue > 1e-4
    again = data.take("train", index, seeded(n, 1)).x
    assert not torch.equal(x, again)
    flipped = Digits(flip=True, binarise=True).take("train", index, seeded(n)).x
    turned = Digits(flip=True).take("train", index, seeded(n)).x
    u = seeded(n).stream("binarise").uniform(torch.empty(n, 1, 8, 8))
    assert torch.equal(flipped, torch.where(u < (turned + 1) / 2, 1.0, -1.0))


def test_evaluation_sees_the_greys():
    data, plain = Digits(binarise=True), Digits()
    assert (data.likelihood, data.levels, data.level_width) == ("bernoulli", 17, 1 / 8)
    assert (plain.likelihood, Digits(dequantise=True).likelihood) == ("discretised", "continuous")
    assert torch.equal(data.items("test").x, plain.items("test").x)
    assert torch.equal(data.draw("test", 9, seeded(9)).x, plain.draw("test", 9, seeded(9)).x)
    index = torch.tensor([4, 4, 0])
    assert torch.equal(data.pick("train", index).x, plain.pick("train", index).x)


def test_two_values_are_not_dequantised():
    with pytest.raises(BadValue) as caught:
        create("dataset", "digits:binarise=true:dequantise=true")
    assert str(caught.value) == (
        "dataset 'digits': binarise and dequantise exclude each other: one makes a pixel -1 or 1, "
        "the other a real number"
    )
