"""The law of counter-based noise: moments, tails, and independence over a million draws."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support.noise_draws import P_VALUE, SIGMAS, draws, one_million, uncorrelated, zeros

from sgmkit.noise import SeededNoise
from sgmkit.noise.counter import GOLDEN, fill_normal, fill_uniform, words

# --- Law ------------------------------------------------------------------------------------


def test_normal_moments_and_distribution():
    x = one_million().flatten()
    n = x.numel()
    for power, (mean, variance) in enumerate(((0, 1), (1, 2), (0, 15), (3, 96)), start=1):
        assert abs(float((x**power).mean()) - mean) < SIGMAS * math.sqrt(variance / n)
    assert stats.kstest(x.numpy(), "norm").pvalue > P_VALUE


def test_normal_tails():
    x = draws(SeededNoise(1, range(1024)), 64, (64,)).flatten()  # four million
    for sigma in (3.0, 4.0, 4.5):
        for tail in (x, -x):
            expected = x.numel() * stats.norm.sf(sigma)
            assert abs(int((tail > sigma).sum()) - expected) < SIGMAS * math.sqrt(expected)
    assert float(x.abs().max()) > 4.8
    assert bool(x.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_distribution(dtype):
    x = draws(SeededNoise(2, range(1024)), 16, (64,), "uniform", dtype).double().flatten()
    assert stats.kstest(x.numpy(), "uniform").pvalue > P_VALUE
    for power in (1, 2, 3, 4):
        mean = 1 / (power + 1)
        variance = 1 / (2 * power + 1) - mean**2
        assert abs(float((x**power).mean()) - mean) < SIGMAS * math.sqrt(variance / x.numel())


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_uniforms_are_inside_the_open_interval(dtype):
    x = draws(SeededNoise(2, range(1024)), 16, (64,), "uniform", dtype)
    eps = torch.finfo(dtype).eps
    assert float(x.min()) >= eps / 2
    assert float(x.max()) <= 1 - eps / 2
    assert float(x.min()) < max(eps, 1e-5)
    assert float(x.max()) > 1 - max(eps, 1e-5)


def test_bits_and_bytes_of_the_words():
    x = one_million(law="uniform").mul_(2.0**52).floor_().numpy().astype(np.int64).ravel()
    assert len(np.unique(x)) == len(x)  # 52 bits: 1e-4 of a chance that two of a million agree
    for shift in range(0, 48, 8):
        counts = np.bincount((x >> shift) & 255, minlength=256)
        assert stats.chisquare(counts).pvalue > P_VALUE
    for bit in range(52):
        ones = int(((x >> bit) & 1).sum())
        assert abs(ones - len(x) / 2) < SIGMAS * math.sqrt(len(x)) / 2


def test_pairs_of_elements_fill_the_plane_evenly():
    x = one_million()
    first, second = x[..., 0::2].flatten(), x[..., 1::2].flatten()
    angle = torch.atan2(second, first).div(2 * math.pi).add(0.5).numpy()
    radius = (first.square() + second.square()).mul(-0.5).exp().numpy()
    counts, _, _ = np.histogram2d(angle, radius, bins=32, range=((0, 1), (0, 1)))
    assert counts.sum() == len(angle)
    assert stats.chisquare(counts.ravel()).pvalue > P_VALUE


# --- Independence ---------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_neighbours_are_independent(law):
    x = one_million(law=law)  # (draw, id, element)
    for lag in (1, 2, 3, 8):
        uncorrelated(x[lag:], x[:-lag])
        uncorrelated(x[:, lag:], x[:, :-lag])
        uncorrelated(x[..., lag:], x[..., :-lag])
    uncorrelated(x[..., 0::2], x[..., 1::2])  # the two of a Box-Muller pair
    uncorrelated(x[1:, 1:], x[:-1, :-1])
    uncorrelated(x[1:, :-1], x[:-1, 1:])
    uncorrelated(x[1:, :, :-1], x[:-1, :, 1:])
    uncorrelated(x[:, 1:, :-1], x[:, :-1, 1:])


def test_seeds_and_streams_are_independent():
    x = one_million(seed=0)
    noise = SeededNoise(0, range(1024))
    for name in ("start", "step", "0"):
        uncorrelated(x, draws(noise.stream(name), 16, (64,), dtype=torch.float64))
    for seed in (1, 2, 1 << 32, (1 << 63) - 1):
        y = one_million(seed=seed)
        uncorrelated(x, y)
        uncorrelated(x[:, 1:], y[:, :-1])  # seed + 1 is not id + 1, nor draw + 1
        uncorrelated(x[1:], y[:-1])


def test_one_element_is_random_across_draws_ids_and_seeds():
    like = zeros(1, 1, dtype=torch.float64)
    single = SeededNoise(0, [0])
    along_draws = torch.cat([single.uniform(like) for _ in range(20_000)]).flatten()
    along_ids = SeededNoise(0, range(200_000)).uniform(zeros(200_000, 1, dtype=torch.float64))
    along_seeds = torch.cat([SeededNoise(s, [0]).uniform(like) for s in range(1_500)])
    for x in (along_draws, along_ids.flatten(), along_seeds.flatten()):
        assert stats.kstest(x.numpy(), "uniform").pvalue > P_VALUE
        uncorrelated(x[1:], x[:-1])


def test_large_bits_of_ids_and_seeds_count():
    ids = [0, *(1 << b for b in range(63)), -(2**63)]
    seeds = [1 << b for b in range(63)]
    rows = [SeededNoise(0, ids).uniform(zeros(65, 8, dtype=torch.float64))]
    rows += [SeededNoise(s, [0]).uniform(zeros(1, 8, dtype=torch.float64)) for s in seeds]
    assert len(torch.cat(rows).unique()) == (65 + 63) * 8


def test_the_second_key_separates_draws_whose_first_keys_meet():
    first = torch.tensor([12345, 12345, 12345 + GOLDEN])  # the same words, and one place further
    second = torch.tensor([0x243F6A8885A308D3, 0x13198A2E03707344, 0x2E2B0F5D5F2C7D1B])
    generated = words(first, second, 1000)
    assert len(generated.unique()) == 3000
    x = generated.double()
    for row in range(3):
        uncorrelated(x[row, 1:], x[row - 1, :-1])
        uncorrelated(x[row], x[row - 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (400, 4), (400, 3), (4, 7)])
def test_numpy_and_torch_make_the_same_numbers(shape, dtype):
    """A CPU runs the first, every other device the second."""
    rows, n = shape
    generator = np.random.default_rng(1)
    a, b = (generator.integers(-(2**63), 2**63, rows) for _ in range(2))
    keys = torch.from_numpy(a), torch.from_numpy(b)
    assert np.array_equal(words(a, b, n), words(*keys, n))
    for fill, extra, exact in ((fill_normal, (), False), (fill_uniform, (23,), True)):
        mine, other = torch.full(shape, torch.nan, dtype=dtype), torch.empty(shape, dtype=dtype)
        fill(mine.numpy(), a, b, *extra)
        fill(other, *keys, *extra)
        tolerance = 0 if exact else 8 * torch.finfo(dtype).eps
        assert torch.allclose(mine, other, rtol=tolerance, atol=tolerance)


def test_words_are_splitmix64():
    """In Python's own integers, which do not wrap."""
    mask, a, b = (1 << 64) - 1, 0x0123456789ABCDEF, 0x7EDCBA9876543210
    generated = words(np.array([a]), np.array([b]), 3)[0]
    for place, word in enumerate(generated.tolist()):
        x = (a + place * 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 + b) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        assert word & mask == x ^ (x >> 31)
