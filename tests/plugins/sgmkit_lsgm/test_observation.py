"""Decoder likelihoods: laws that sum to one, their means and draws against explicit sums."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from support.processes import f64

from sgmkit import BadValue, RecordedNoise, SeededNoise
from sgmkit_lsgm.levels import Logistic, Mixture
from sgmkit_lsgm.logistic import expectation
from sgmkit_lsgm.observation import Bernoulli, Gaussian, observation


def normal(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def grid(levels):
    """The levels of the data, -1 to 1."""
    return torch.linspace(-1, 1, levels, dtype=torch.float64)


def probabilities(law, told, levels):
    """Of all values of one pixel, ``(levels ** C, C)`` and ``(levels ** C, B)``, explicitly."""
    channels = law.event[0]
    values = torch.tensor(
        list(itertools.product(grid(levels).tolist(), repeat=channels)), dtype=told.dtype
    )
    x = values[:, None].expand(-1, len(told), -1).reshape(-1, *law.event)
    each = law.log_prob(told.repeat(len(values), *(1 for _ in law.out_shape)), x)
    return values, each.reshape(len(values), len(told)).exp()


def told_of(law, n=40, spread=1.0, log_scale=0.0, seed=0):
    """What a decoder may say: means over the range and beyond, scales about ``exp(log_scale)``."""
    told = spread * normal(n, *law.out_shape, seed=seed)
    channels = law.event[0]
    first, last = (
        (channels, None) if law.name == "logistic" else (10 + 10 * channels, 10 + 20 * channels)
    )
    told[:, first:last] += log_scale
    return told


def pixel(kind, channels, levels):
    return kind((channels, 1, 1), levels)


LAWS = [
    *(pixel(kind, 1, levels) for kind in (Logistic, Mixture) for levels in (2, 17, 32, 256)),
    *(pixel(kind, 3, levels) for kind in (Logistic, Mixture) for levels in (2, 5, 9)),
    pixel(Mixture, 2, 17),
]
laws = pytest.mark.parametrize(
    "law", LAWS, ids=lambda law: f"{law.name}-{law.event[0]}-{law.levels}"
)


# Levels -----------------------------------------------------------------------------------


@laws
@pytest.mark.parametrize("log_scale", [-20.0, -6.0, -3.0, 0.0, 30.0])
def test_probabilities_of_all_values_sum_to_one(law, log_scale):
    told = told_of(law, log_scale=log_scale)
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        _, share = probabilities(law, told.to(dtype), law.levels)
        assert share.dtype == dtype
        assert float((share.sum(0) - 1).abs().max()) < limit


def test_a_pixel_is_a_difference_of_logistic_distributions():
    """Against SciPy: inner cells, and the ends with their tails."""
    law, mean, log_scale = pixel(Logistic, 1, 17), 0.3, -1.5
    told = f64([mean, log_scale]).reshape(1, 2, 1, 1)
    _, share = probabilities(law, told, 17)
    edges = torch.cat([f64([-math.inf]), grid(17)[:-1] + 1 / 16, f64([math.inf])])
    expected = stats.logistic(mean, math.exp(log_scale)).cdf(edges.numpy())
    assert share[:, 0].numpy() == pytest.approx(expected[1:] - expected[:-1], rel=1e-11)


def test_a_mixture_pixel_is_the_sum_over_components():
    """Three channels, from SciPy's logistic and the definition; the last follows two others."""
    law = pixel(Mixture, 3, 5)
    told = told_of(law, 1, log_scale=-1.0)
    logits, means, scales, pull = told[0, :, 0, 0].split([10, 30, 30, 30])
    weights, pull = logits.softmax(0).numpy(), pull.tanh().reshape(3, 10).numpy()
    means, scales = (part.reshape(3, 10).numpy() for part in (means, scales.exp()))
    values, share = probabilities(law, told, 5)

    def mass(x, mean, scale):
        low = -math.inf if x == -1 else x - 1 / 4
        high = math.inf if x == 1 else x + 1 / 4
        return stats.logistic.cdf(high, mean, scale) - stats.logistic.cdf(low, mean, scale)

    for (r, g, b), found in zip(values.tolist(), share[:, 0].tolist(), strict=True):
        moved = np.stack([means[0], means[1] + pull[0] * r, means[2] + pull[1] * r + pull[2] * g])
        each = [mass(x, *of) for x, *of in zip((r, g, b), moved, scales, strict=True)]
        assert found == pytest.approx(float(weights @ np.prod(each, 0)), rel=1e-10)


def test_numbers_of_the_papers():
    assert Mixture((3, 32, 32), 256).out_shape == (100, 32, 32)
    assert Mixture((1, 28, 28), 256).out_shape == (30, 28, 28)
    assert Mixture((4, 2), 5).out_shape == (10 + 80 + 60, 2)
    assert Logistic((3, 8, 8), 17).out_shape == (6, 8, 8)
    assert Bernoulli((1, 28, 28)).out_shape == (1, 28, 28)
    assert Gaussian((2,)).out_shape == (4,)


def test_scales_get_no_smaller_than_the_published_bound():
    law = pixel(Logistic, 1, 256)
    told = f64([[0.001, -7.0], [0.001, -9.0]]).reshape(2, 2, 1, 1)
    share = law.log_prob(told, torch.zeros(2, 1, 1, 1))
    assert float(share[0]) == float(share[1])


@laws
def test_means_are_the_explicit_expectation(law):
    """Exactly in the first channel; in later ones where the ends of the range have no weight."""
    for log_scale in (-6.0, -2.0, 1.0):
        told = told_of(law, log_scale=log_scale)
        values, share = probabilities(law, told, law.levels)
        found = law.mean(told)[:, :, 0, 0]
        expected = share.T @ values
        exact = slice(None) if law.name == "logistic" else slice(0, 1)
        torch.testing.assert_close(found[:, exact], expected[:, exact], rtol=0, atol=1e-11)
        assert float(found.abs().max()) <= 1


@pytest.mark.parametrize("levels", [2, 16, 17, 19, 256])
def test_expectations_at_every_place_and_rate(levels):
    """Against all edges one by one; beyond the ends and at scales of 1e-2 to 1e4 levels as well."""
    place, depth = torch.meshgrid(
        torch.linspace(-0.8, 0.8, 301, dtype=torch.float64) * levels,
        torch.linspace(-9, 5, 57, dtype=torch.float64),
        indexing="ij",
    )
    edges = torch.arange(levels - 1, dtype=torch.float64) - (levels - 2) / 2
    want = (depth.exp()[..., None] * (place[..., None] - edges) / 2).tanh().sum(-1) / 2
    torch.testing.assert_close(expectation(place, depth, levels), want, rtol=0, atol=1e-10)
    single = expectation(place.float(), depth.float(), levels)
    assert float((single - want).abs().max()) < 2e-6 * levels


def test_expectations_have_their_own_slopes():
    args = f64([-13.0, -12.2, -0.3, 3.1, 14.0]), f64([0.5, -1.0, -1.0, 2.0, -3.0])
    args = tuple(part.requires_grad_() for part in args)
    assert torch.autograd.gradcheck(lambda mean, rate: expectation(mean, rate, 24), args)


def test_means_of_later_channels_away_from_the_ends():
    law = pixel(Mixture, 3, 33)
    told = told_of(law, 12, spread=0.05, log_scale=-3.3)  # scale 0.6 of a level
    values, share = probabilities(law, told, 33)
    torch.testing.assert_close(law.mean(told)[:, :, 0, 0], share.T @ values, rtol=0, atol=2e-4)


@laws
def test_draws_follow_the_probabilities(law):
    """Chi-square of many draws of one pixel, of all its channels at once."""
    n = 20_000
    told = told_of(law, 1, log_scale=-1.0, seed=3)
    values, share = probabilities(law, told, law.levels)
    x = law.sample(told.expand(n, *told.shape[1:]), SeededNoise(5, range(n)))
    assert x.shape == (n, *law.event)
    place = ((x[:, :, 0, 0] + 1) * (law.levels - 1) / 2).round()
    assert float((place * 2 / (law.levels - 1) - 1 - x[:, :, 0, 0]).abs().max()) < 1e-12
    code = sum(place[:, c] * law.levels ** (law.event[0] - 1 - c) for c in range(law.event[0]))
    counts = torch.bincount(code.long(), minlength=len(values)).double()
    expected = n * share[:, 0]
    often = expected > 5
    seen, due = ([*v[often].tolist(), float(v[~often].sum())] for v in (counts, expected))
    if due[-1] < 5:
        seen, due = seen[:-1], due[:-1]
        due = [d * sum(seen) / sum(due) for d in due]
    assert len(due) == 1 or stats.chisquare(seen, due, sum_check=False).pvalue > 1e-3


def test_a_mixture_of_one_is_a_logistic():
    """Whatever the other components say; and nothing couples channels whose coefficients are 0."""
    channels, levels = 3, 17
    one, many = Logistic((channels, 2, 2), levels), Mixture((channels, 2, 2), levels)
    told = told_of(one, 6, log_scale=-2.0)
    means, scales = told.chunk(2, 1)
    padded = normal(6, *many.out_shape, seed=1)
    padded[:, :10] = -1e4
    padded[:, 4] = 0
    padded[:, 10:40].unflatten(1, (3, 10))[:, :, 4] = means
    padded[:, 40:70].unflatten(1, (3, 10))[:, :, 4] = scales
    padded[:, 70:] = 0
    x = grid(levels)[(normal(6, channels, 2, 2, seed=2) * 5 + 8).long().clamp(0, 16)]
    torch.testing.assert_close(many.log_prob(padded, x), one.log_prob(told, x), rtol=1e-12, atol=0)
    torch.testing.assert_close(many.mean(padded), one.mean(told), rtol=0, atol=1e-12)


def test_a_value_between_levels_counts_as_the_nearer_one():
    for law in (Logistic((1, 4), 17), Mixture((1, 4), 17)):
        told = told_of(law, 2, log_scale=-2.0)
        x = f64([[[-1.0, 0.125, 0.5, 1.0]]]).repeat(2, 1, 1)
        moved = x + f64([-0.06, 0.06, -0.05, 0.06])
        assert torch.equal(law.log_prob(told, moved), law.log_prob(told, x))


# Two values, and all of them --------------------------------------------------------------


def test_bernoulli():
    law, logits = Bernoulli((2, 3)), 4 * normal(5, 2, 3)
    share = logits.sigmoid()
    x = torch.where(normal(5, 2, 3, seed=1) > 0, 1.0, -1.0).double()
    expected = stats.bernoulli.logpmf((x.numpy() + 1) / 2, share.numpy()).sum((1, 2))
    assert law.log_prob(logits, x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    torch.testing.assert_close(law.mean(logits), 2 * share - 1, rtol=0, atol=1e-12)
    uniform = share + 1e-9 * torch.where(x > 0, -1.0, 1.0)
    assert torch.equal(law.sample(logits, RecordedNoise([uniform])), x)
    grey = f64([0.5]).expand(5, 2, 3)
    greys = 0.75 * law.log_prob(logits, grey**0) + 0.25 * law.log_prob(logits, -(grey**0))
    torch.testing.assert_close(law.log_prob(logits, grey), greys, rtol=1e-12, atol=0)


def test_a_gaussian_integrates_to_one():
    law = Gaussian((1,))
    for mean, raw in ((0.3, -1.0), (-2.0, 1.5)):
        told = f64([[mean, raw]])
        std = math.exp(7 * math.tanh(raw / 7))

        def density(x, told=told):
            return float(law.log_prob(told, f64([[x]])).exp())

        ends = (mean - 12 * std, mean + 12 * std)
        assert integrate.quad(density, *ends)[0] == pytest.approx(1, abs=1e-8)
        moment = integrate.quad(lambda x: (x - mean) ** 2 * density(x), *ends)[0]  # noqa: B023
        assert moment == pytest.approx(std**2, rel=1e-7)
        assert law.mean(told).item() == mean
        assert law.sample(told, RecordedNoise([f64([[2.0]])])).item() == pytest.approx(
            mean + 2 * std, rel=1e-12
        )


def test_a_gaussian_of_many_is_scipys():
    law, told, x = Gaussian((2, 3)), normal(4, 4, 3), normal(4, 2, 3, seed=1)
    std = (7 * torch.tanh(told[:, 2:] / 7)).exp()
    expected = stats.norm(told[:, :2].numpy(), std.numpy()).logpdf(x.numpy()).sum((1, 2))
    assert law.log_prob(told, x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


# All --------------------------------------------------------------------------------------

ALL = [
    Bernoulli((1, 2, 2)),
    Gaussian((3, 2, 2)),
    Logistic((3, 2, 2), 256),
    Mixture((1, 2, 2), 17),
    Mixture((3, 2, 2), 256),
]
every = pytest.mark.parametrize("law", ALL, ids=lambda law: f"{law.name}-{law.event[0]}")


def values_of(law, n):
    """Items at the ends of the range and inside, on levels where there are some."""
    x = torch.where(normal(n, *law.event, seed=8) > 0, 1.0, -1.0)
    return (
        x.flatten(2).index_fill(2, torch.tensor([1]), 0.0).reshape(x.shape)
        if law.name != "bernoulli"
        else x
    )


@every
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
def test_gradients_are_finite_at_extremes(law, size):
    told = (size * normal(8, *law.out_shape)).float().requires_grad_()
    value = law.log_prob(told, values_of(law, 8).float())
    assert value.shape == (8,)
    assert bool(value.isfinite().all())
    (slope,) = torch.autograd.grad(value.sum(), told)
    assert bool(slope.isfinite().all())
    assert size != 1 or bool((slope != 0).any())


@every
def test_gradients_are_those_of_differences(law):
    told = (
        told_of(law, 2, 0.5, -1.0)
        if law.name in ("logistic", "mixture")
        else normal(2, *law.out_shape)
    )
    x = values_of(law, 2).double()
    assert torch.autograd.gradcheck(lambda told: law.log_prob(told, x), told.requires_grad_())


@every
def test_draws_belong_to_their_ids(law):
    told = normal(6, *law.out_shape)
    whole = law.sample(told, SeededNoise(1, range(6)))
    part = law.sample(told[[4, 1]], SeededNoise(1, [4, 1]))
    assert torch.equal(whole[[4, 1]], part)
    assert not torch.equal(whole, law.sample(told, SeededNoise(2, range(6))))


@every
def test_half_precision_is_cast_up(law):
    told, x = normal(3, *law.out_shape).bfloat16(), values_of(law, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = law.log_prob(told, x), law.mean(told), law.sample(told, SeededNoise(0, range(3)))
    wide = told.float()
    for half, full in zip(
        found,
        (law.log_prob(wide, x), law.mean(wide), law.sample(wide, SeededNoise(0, range(3)))),
        strict=True,
    ):
        assert half.dtype == torch.float32
        assert torch.equal(half, full)


# The choice -------------------------------------------------------------------------------


def test_auto_goes_by_the_data():
    event = (3, 4, 4)
    assert observation("auto", event, "bernoulli", 256) == Bernoulli(event)
    assert observation("auto", event, "discretised", 256) == Mixture(event, 256)
    assert observation("auto", event, "continuous", None) == Gaussian(event)
    assert observation("auto", event, "continuous", 256) == Gaussian(event)
    assert observation("logistic", event, "discretised", 17) == Logistic(event, 17)
    assert observation("bernoulli", event, "discretised", 2) == Bernoulli(event)
    assert [law.discrete for law in (Bernoulli(event), Gaussian(event))] == [True, False]


GREYS = "grey levels (neither binarised nor dequantised)"


@pytest.mark.parametrize(
    ("name", "likelihood", "levels", "told"),
    [
        (
            "bernoulli",
            "discretised",
            256,
            "decoder 'bernoulli' is for binarised data (option binarise of the data set); these "
            "data are of grey levels: take decoder 'mixture'",
        ),
        (
            "mixture",
            "continuous",
            None,
            f"decoder 'mixture' is for {GREYS}; these data are continuous: take decoder 'gaussian'",
        ),
        (
            "logistic",
            "bernoulli",
            256,
            f"decoder 'logistic' is for {GREYS}; these data are binarised: take decoder "
            "'bernoulli'",
        ),
        (
            "gaussian",
            "discretised",
            17,
            "decoder 'gaussian' is for continuous data (option dequantise of the data set); these "
            "data are of grey levels: take decoder 'mixture'",
        ),
        (
            "auto",
            "discretised",
            None,
            "decoder 'mixture' needs two levels at least; the data set states None",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(name, likelihood, levels, told):
    with pytest.raises(BadValue) as caught:
        observation(name, (1, 8, 8), likelihood, levels)
    assert str(caught.value) == told
