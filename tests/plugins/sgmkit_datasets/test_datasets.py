"""Data sets: their laws against scikit-learn and closed forms, their draws against their laws."""

import hashlib
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import datasets as sklearn_datasets

from sgmkit import BadValue, Batch, Dataset, RecordedNoise, SeededNoise, create
from sgmkit.data import binarise, dequantise
from sgmkit_datasets import sgmkit_components
from sgmkit_datasets.blobs import Checkerboard, EightGaussians
from sgmkit_datasets.curves import SwissRoll, TwoMoons
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixture import MixtureDataset

PLANAR = [EightGaussians(), TwoMoons(), Checkerboard(), SwissRoll()]
planar = pytest.mark.parametrize("data", PLANAR, ids=lambda data: type(data).__name__)


def seeded(n, seed=0):
    return SeededNoise(seed, range(n))


def moments(law):
    """Mean (2,) and covariance (2, 2) of a mixture, by numpy."""
    w, mu, var = (a.numpy() for a in (law.weights, law.means, law.variances))
    mean = w @ mu
    return mean, (mu - mean).T @ np.diag(w) @ (mu - mean) + np.diag(w @ var)


def density(law, points):
    """Of a mixture at ``points (n, 2)``, by SciPy."""
    normal = stats.norm(law.means.numpy(), law.variances.sqrt().numpy())
    return normal.pdf(np.asarray(points)[:, None, :]).prod(-1) @ law.weights.numpy()


def test_components_name_their_classes():
    found = {c.name: c for c in sgmkit_components()}
    laws = {"eight-gaussians", "two-moons", "checkerboard", "swiss-roll"}
    images = {"digits", "mnist", "omniglot", "folder"}
    assert set(found) == laws | images
    for component in found.values():
        module, _, name = component.target.partition(":")
        target = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(target, Dataset)
        assert component.kind == "dataset"
        if component.name in laws | {"digits"}:  # the others are nothing without their files
            assert isinstance(target(), Dataset)  # every option has a default


@planar
def test_law_is_a_float64_mixture(data):
    law = data.mixture()
    assert {a.dtype for a in (law.weights, law.means, law.variances)} == {torch.float64}
    assert law.means.shape == law.variances.shape == (len(law.weights), 2)
    assert float(law.weights.sum()) == pytest.approx(1, abs=1e-13)
    assert float(law.weights.min()) > 0
    assert float(law.variances.min()) > 0
    assert len(law.weights) <= 600


@planar
@pytest.mark.parametrize("split", ["train", "test"])
def test_draws_follow_the_stated_law(data, split):
    """Kolmogorov-Smirnov along five directions, each of which sees a 1-D mixture."""
    n, law = 4000, data.mixture()
    x = data.draw(split, n, seeded(n, 3)).x.double().numpy()
    for angle in (0, 0.4, math.pi / 4, math.pi / 2, 2.3):
        line = np.array([math.cos(angle), math.sin(angle)])
        means, stds = law.means.numpy() @ line, np.sqrt(law.variances.numpy() @ line**2)

        def cdf(v, means=means, stds=stds):
            return stats.norm.cdf((v[:, None] - means) / stds) @ law.weights.numpy()

        assert stats.kstest(x @ line, cdf).pvalue > 1e-3


def test_each_mode_is_drawn_as_often_as_it_weighs():
    n, law = 20000, SwissRoll(components=4).mixture()  # beads, 20 of them, far apart
    x = SwissRoll(components=4).draw("train", n, seeded(n)).x.double()
    nearest = torch.cdist(x, law.means).argmin(1)
    assert float(law.weights.max() / law.weights.min()) > 1.5
    counts = np.bincount(nearest.numpy(), minlength=20)
    assert stats.chisquare(counts, n * law.weights.numpy()).pvalue > 1e-3


def test_draw_inverts_the_weights_and_adds_scaled_noise():
    data = SwissRoll(components=3)
    law = data.mixture()
    edges = law.weights.cumsum(0)
    uniform = torch.tensor(
        [1e-300, 1 - 2**-53, 0.5, float(edges[4]) - 1e-9, float(edges[4])], dtype=torch.float64
    )
    normal = torch.linspace(-3, 3, 10, dtype=torch.float64).reshape(5, 2)
    batch = data.draw("train", 5, RecordedNoise([uniform, normal]))
    chosen = [0, 14, int((edges < 0.5).sum()), 4, 5]
    expected = law.means[chosen] + 0.002 * normal
    assert torch.equal(batch.x, expected.float())


@planar
def test_draws_are_reproducible_and_the_splits_differ(data):
    train = data.draw("train", 20, seeded(20))
    assert train.x.shape == (20, 2)
    assert train.x.dtype == torch.float32
    assert train.y is None
    assert train.ids.tolist() == list(range(20))
    assert data.size("train") is None
    assert data.size("test") is None
    assert torch.equal(train.x, data.draw("train", 20, seeded(20)).x)
    assert torch.equal(train.x[5:9], data.draw("train", 4, SeededNoise(0, range(5, 9))).x)
    noise = seeded(20)
    test, first, second = (data.draw(s, 20, noise).x for s in ("test", "train", "train"))
    assert torch.equal(first, train.x)  # the test draws did not shift the training stream
    points = torch.cat([first, test, second, data.draw("train", 20, seeded(20, 1)).x])
    assert len(points.unique(dim=0)) == 80


@planar
def test_scale_suits_the_sdes(data):
    _, cov = moments(data.mixture())
    std = np.sqrt(np.diag(cov))
    assert ((std > 0.6) & (std < 1.3)).all()
    assert float(data.draw("train", 5000, seeded(5000)).x.abs().max()) < 2.6


def test_eight_gaussians_closed_form():
    data = EightGaussians(radius=3.0, std=0.5)
    mean, cov = moments(data.mixture())
    assert mean == pytest.approx(np.zeros(2), abs=1e-12)
    assert cov == pytest.approx((9 / 2 + 0.25) * np.eye(2), abs=1e-12)
    peak = 1 / (8 * 2 * math.pi * 0.25)
    assert density(data.mixture(), [(3.0, 0.0)]) == pytest.approx(peak, 1e-3)


def test_two_moons_are_those_of_scikit_learn():
    theirs, _ = sklearn_datasets.make_moons(n_samples=128, shuffle=False, noise=None)
    law = TwoMoons(std=0.2).mixture()
    assert law.means.numpy() == pytest.approx((theirs - [0.5, 0.25]) * 4 / 3, abs=1e-12)
    assert law.variances.numpy() == pytest.approx(np.full((128, 2), 0.04))
    assert np.ptp(law.weights.numpy()) == 0


def test_checkerboard_is_flat_on_its_squares_and_empty_between():
    law = Checkerboard().mixture()
    cells = [(i, j) for i in range(4) for j in range(4)]
    inner = np.stack(np.meshgrid(*[np.linspace(-0.25, 0.25, 16)] * 2), -1).reshape(-1, 2)
    for i, j in cells:
        p = density(law, inner + np.array([i - 1.5, j - 1.5]))
        if (i + j) % 2:
            assert p == pytest.approx(np.full(256, 1 / 8), rel=5e-3)
        else:
            assert p.max() < 1 / 8 * 2e-3
    # Uniform on the board: variance 16 / 12; covariance of the filled squares' centres -1 / 4.
    mean, cov = moments(law)
    grid = 0.075**2 - 0.125**2 / 12  # what replacing a cell by its Gaussian adds
    assert mean == pytest.approx(np.zeros(2), abs=1e-12)
    assert cov == pytest.approx(np.array([[4 / 3 + grid, -1 / 4], [-1 / 4, 4 / 3 + grid]]))


def test_swiss_roll_is_the_published_one():
    """Two-sample tests against scikit-learn's roll, scaled as in the CLD paper."""
    n = 20000
    theirs, _ = sklearn_datasets.make_swiss_roll(n, noise=0.2, random_state=0)
    theirs = theirs[:, [0, 2]] * 0.01
    x = SwissRoll().draw("train", n, seeded(n)).x.double().numpy()
    offsets = np.array([(0, 0), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8)])
    copy = np.argmin(((x[:, None] - offsets) ** 2).sum(-1), 1)
    assert stats.chisquare(np.bincount(copy, minlength=5)).pvalue > 1e-3
    ours = x - offsets[copy]
    for line in ((1, 0), (0, 1), (0.6, 0.8), (0.8, -0.6)):
        assert stats.ks_2samp(ours @ line, theirs @ line).pvalue > 1e-3
    assert stats.ks_2samp(np.hypot(*ours.T), np.hypot(*theirs.T)).pvalue > 1e-3


def test_swiss_roll_components_are_evenly_spaced_and_weighted_by_their_angle():
    law = SwissRoll(components=500).mixture()
    roll = law.means[:500].numpy() * 100
    radius = np.hypot(*roll.T)
    assert np.cos(radius) * radius == pytest.approx(roll[:, 0], abs=1e-9)  # the angle is the radius
    spacing = np.hypot(*np.diff(roll, axis=0).T)
    assert np.ptp(spacing) < 1e-3 * spacing.mean()
    ends = np.concatenate([[0], np.cumsum(law.weights[:500].numpy() * 5)])
    angle = 1.5 * math.pi + 3 * math.pi * ends
    length = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2
    assert np.diff(length) == pytest.approx(np.full(500, np.diff(length).mean()), rel=1e-9)


def test_a_draw_of_nothing_is_an_error():
    with pytest.raises(BadValue) as caught:
        EightGaussians().draw("train", 0, seeded(1))
    assert str(caught.value) == "cannot draw 0 points; ask for at least 1"


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


def test_nothing_touches_the_global_generator():
    before = torch.get_rng_state()
    for data in (*PLANAR, Digits()):
        data.draw("train", 4, seeded(4))
    assert torch.equal(before, torch.get_rng_state())


def test_third_parties_state_a_law_and_no_more():
    class Ring(MixtureDataset):
        def mixture(self):
            return EightGaussians(radius=2.0).mixture()

    expected = EightGaussians(radius=2.0).draw("test", 5, seeded(5)).x
    assert torch.equal(Ring().draw("test", 5, seeded(5)).x, expected)


# What training takes ----------------------------------------------------------------------


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
    ("data", "index", "told"),
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
def test_positions_that_are_none(data, index, told):
    with pytest.raises(BadValue) as caught:
        data.take("train", torch.tensor(index), seeded(len(index)))
    assert str(caught.value) == told


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


def test_dequantisation_adds_a_cell_around_zero():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    u = torch.tensor([[0.0, 0.25], [0.5, 1.0]], dtype=torch.float64)
    found = dequantise(x, 0.5, RecordedNoise([u]))
    assert found.tolist() == [[-0.25, 0.875], [2.0, 3.25]]
    assert dequantise(x.float(), 0.5, RecordedNoise([u])).dtype == torch.float32


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


def test_binarisation_compares_with_a_uniform_number():
    x = torch.tensor([[-1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    u = torch.tensor([[1e-12, 0.499], [0.751, 1 - 1e-12]], dtype=torch.float64)
    found = binarise(x, RecordedNoise([u]))
    assert found.tolist() == [[-1, 1], [-1, 1]]
    assert found.dtype == torch.float64


def test_two_values_are_not_dequantised():
    with pytest.raises(BadValue) as caught:
        create("dataset", "digits:binarise=true:dequantise=true")
    assert str(caught.value) == (
        "dataset 'digits': binarise and dequantise exclude each other: training sees two values "
        "of a pixel, or a density over all"
    )
