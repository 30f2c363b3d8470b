"""Two-dimensional laws against scikit-learn and closed forms, their draws against the laws."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import datasets as sklearn_datasets

from sgmkit import BadValue, Dataset, RecordedNoise, SeededNoise
from sgmkit_datasets import sgmkit_components
from sgmkit_datasets.digits import Digits
from sgmkit_datasets.mixtures import (
    Checkerboard,
    EightGaussians,
    MixtureDataset,
    SwissRoll,
    TwoMoons,
)

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
    offered = {c.name: c for c in sgmkit_components()}
    laws = {"eight-gaussians", "two-moons", "checkerboard", "swiss-roll"}
    images = {"digits", "mnist", "omniglot", "folder"}
    assert set(offered) == laws | images
    for component in offered.values():
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
