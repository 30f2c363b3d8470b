"""Differences in relative units."""

import math

import torch

from sgmkit.testing.compare import inner_times, largest, relative, relative_cov, show
from sgmkit_sdes.vp import VP


def test_differences_are_relative_to_the_largest_entry():
    expected = torch.tensor([[1.0, 100.0], [0.0, 10.0]], dtype=torch.float64)
    assert relative(expected + 1, expected) == 0.01
    assert relative(expected[0] + 1, expected[0], axes=1) == 0.01


def test_covariances_are_compared_entry_by_entry():
    expected = torch.diag(torch.tensor([1.0, 1e-4], dtype=torch.float64))
    shifted = expected + torch.tensor([[0.0, 1e-3], [1e-3, 0.0]], dtype=torch.float64)
    assert math.isclose(relative_cov(shifted, expected), 0.1)


def test_nan_is_infinitely_far():
    assert largest(torch.tensor([0.0, math.nan])) == math.inf
    assert largest(torch.empty(0)) == 0


def test_times_lie_inside_the_horizon():
    times = inner_times(VP())
    assert times.shape == (24,)
    assert times.dtype == torch.float64
    assert float(times.min()) > 0
    assert float(times.max()) < 1


def test_a_matrix_is_shown_in_one_line():
    assert show(torch.tensor([[1.0, 0.5], [0.0, 2.0]])) == "((1, 0.5), (0, 2))"
