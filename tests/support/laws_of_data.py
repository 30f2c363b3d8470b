"""Laws of data to test, random parameters and values of them, and their probabilities."""

import itertools

import torch

from sgmkit import SeededNoise
from sgmkit_lsgm.levels import Logistic, Mixture
from sgmkit_lsgm.observation import Bernoulli, Gaussian


def normal(*shape, seed=0):
    return SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=torch.float64))


def grid(levels):
    """The levels of the data, -1 to 1."""
    return torch.linspace(-1, 1, levels, dtype=torch.float64)


def probabilities(law, params, levels):
    """Of all values of one pixel, ``(levels ** C, C)`` and ``(levels ** C, B)``, explicitly."""
    channels = law.event[0]
    values = torch.tensor(
        list(itertools.product(grid(levels).tolist(), repeat=channels)), dtype=params.dtype
    )
    x = values[:, None].expand(-1, len(params), -1).reshape(-1, *law.event)
    each = law.log_prob(params.repeat(len(values), *(1 for _ in law.out_shape)), x)
    return values, each.reshape(len(values), len(params)).exp()


def random_params(law, n=40, spread=1.0, log_scale=0.0, seed=0):
    """What a decoder may say: means over the range and beyond, scales about ``exp(log_scale)``."""
    params = spread * normal(n, *law.out_shape, seed=seed)
    channels = law.event[0]
    first, last = (
        (channels, None) if law.name == "logistic" else (10 + 10 * channels, 10 + 20 * channels)
    )
    params[:, first:last] += log_scale
    return params


def pixel(kind, channels, levels):
    return kind((channels, 1, 1), levels)


LAWS = [
    *(pixel(kind, 1, levels) for kind in (Logistic, Mixture) for levels in (2, 17, 32, 256)),
    *(pixel(kind, 3, levels) for kind in (Logistic, Mixture) for levels in (2, 5, 9)),
    pixel(Mixture, 2, 17),
]


ALL = [
    Bernoulli((1, 2, 2)),
    Gaussian((3, 2, 2)),
    Logistic((3, 2, 2), 256),
    Mixture((1, 2, 2), 17),
    Mixture((3, 2, 2), 256),
]


def values_of(law, n):
    """Items at the ends of the range and inside, on levels where there are some."""
    x = torch.where(normal(n, *law.event, seed=8) > 0, 1.0, -1.0)
    return (
        x.flatten(2).index_fill(2, torch.tensor([1]), 0.0).reshape(x.shape)
        if law.name != "bernoulli"
        else x
    )
