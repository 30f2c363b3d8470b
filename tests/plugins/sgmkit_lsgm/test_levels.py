"""Laws of grey levels against explicit sums over all values, and SciPy's logistic."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support.laws_of_data import LAWS, grid, normal, pixel, probabilities, random_params
from support.processes import f64

from sgmkit import SeededNoise
from sgmkit_lsgm.levels import Logistic, Mixture

laws = pytest.mark.parametrize(
    "law", LAWS, ids=lambda law: f"{law.name}-{law.event[0]}-{law.levels}"
)


@laws
@pytest.mark.parametrize("log_scale", [-20.0, -6.0, -3.0, 0.0, 30.0])
def test_probabilities_of_all_values_sum_to_one(law, log_scale):
    params = random_params(law, log_scale=log_scale)
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        _, share = probabilities(law, params.to(dtype), law.levels)
        assert share.dtype == dtype
        assert float((share.sum(0) - 1).abs().max()) < limit


def test_a_pixel_is_a_difference_of_logistic_distributions():
    """Against SciPy: inner cells, and the ends with their tails."""
    law, mean, log_scale = pixel(Logistic, 1, 17), 0.3, -1.5
    params = f64([mean, log_scale]).reshape(1, 2, 1, 1)
    _, share = probabilities(law, params, 17)
    edges = torch.cat([f64([-math.inf]), grid(17)[:-1] + 1 / 16, f64([math.inf])])
    expected = stats.logistic(mean, math.exp(log_scale)).cdf(edges.numpy())
    assert share[:, 0].numpy() == pytest.approx(expected[1:] - expected[:-1], rel=1e-11)


def test_a_mixture_pixel_is_the_sum_over_components():
    """Three channels, from SciPy's logistic and the definition; the last follows two others."""
    law = pixel(Mixture, 3, 5)
    params = random_params(law, 1, log_scale=-1.0)
    logits, means, scales, pull = params[0, :, 0, 0].split([10, 30, 30, 30])
    weights, pull = logits.softmax(0).numpy(), pull.tanh().reshape(3, 10).numpy()
    means, scales = (part.reshape(3, 10).numpy() for part in (means, scales.exp()))
    values, share = probabilities(law, params, 5)

    def mass(x, mean, scale):
        low = -math.inf if x == -1 else x - 1 / 4
        high = math.inf if x == 1 else x + 1 / 4
        return stats.logistic.cdf(high, mean, scale) - stats.logistic.cdf(low, mean, scale)

    for (r, g, b), probability in zip(values.tolist(), share[:, 0].tolist(), strict=True):
        moved = np.stack([means[0], means[1] + pull[0] * r, means[2] + pull[1] * r + pull[2] * g])
        each = [mass(x, *of) for x, *of in zip((r, g, b), moved, scales, strict=True)]
        assert probability == pytest.approx(float(weights @ np.prod(each, 0)), rel=1e-10)


def test_scales_get_no_smaller_than_the_published_bound():
    law = pixel(Logistic, 1, 256)
    params = f64([[0.001, -7.0], [0.001, -9.0]]).reshape(2, 2, 1, 1)
    share = law.log_prob(params, torch.zeros(2, 1, 1, 1))
    assert float(share[0]) == float(share[1])


@laws
def test_means_are_the_explicit_expectation(law):
    """Exactly in the first channel; in later ones where the ends of the range have no weight."""
    for log_scale in (-6.0, -2.0, 1.0):
        params = random_params(law, log_scale=log_scale)
        values, share = probabilities(law, params, law.levels)
        mean = law.mean(params)[:, :, 0, 0]
        expected = share.T @ values
        exact = slice(None) if law.name == "logistic" else slice(0, 1)
        torch.testing.assert_close(mean[:, exact], expected[:, exact], rtol=0, atol=1e-11)
        assert float(mean.abs().max()) <= 1


def test_means_of_later_channels_away_from_the_ends():
    law = pixel(Mixture, 3, 33)
    params = random_params(law, 12, spread=0.05, log_scale=-3.3)  # scale 0.6 of a level
    values, share = probabilities(law, params, 33)
    torch.testing.assert_close(law.mean(params)[:, :, 0, 0], share.T @ values, rtol=0, atol=2e-4)


@laws
def test_draws_follow_the_probabilities(law):
    """Chi-square of many draws of one pixel, of all its channels at once."""
    n = 20_000
    params = random_params(law, 1, log_scale=-1.0, seed=3)
    values, share = probabilities(law, params, law.levels)
    x = law.sample(params.expand(n, *params.shape[1:]), SeededNoise(5, range(n)))
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
    params = random_params(one, 6, log_scale=-2.0)
    means, scales = params.chunk(2, 1)
    padded = normal(6, *many.out_shape, seed=1)
    padded[:, :10] = -1e4
    padded[:, 4] = 0
    padded[:, 10:40].unflatten(1, (3, 10))[:, :, 4] = means
    padded[:, 40:70].unflatten(1, (3, 10))[:, :, 4] = scales
    padded[:, 70:] = 0
    x = grid(levels)[(normal(6, channels, 2, 2, seed=2) * 5 + 8).long().clamp(0, 16)]
    torch.testing.assert_close(
        many.log_prob(padded, x), one.log_prob(params, x), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(many.mean(padded), one.mean(params), rtol=0, atol=1e-12)


def test_a_value_between_levels_counts_as_the_nearer_one():
    for law in (Logistic((1, 4), 17), Mixture((1, 4), 17)):
        params = random_params(law, 2, log_scale=-2.0)
        x = f64([[[-1.0, 0.125, 0.5, 1.0]]]).repeat(2, 1, 1)
        moved = x + f64([-0.06, 0.06, -0.05, 0.06])
        assert torch.equal(law.log_prob(params, moved), law.log_prob(params, x))
