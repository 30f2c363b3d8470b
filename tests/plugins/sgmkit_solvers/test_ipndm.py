"""IPNDM: the weights of equal steps."""

import numpy as np
import pytest
import torch
from support.vp_by_hand import impulse_response, vp

from sgmkit_solvers.ipndm import IPNDM


@pytest.mark.parametrize("answers", [1, 2, 3, 4])
def test_ipndm_weights(answers):
    steps = 6
    table = [[1], [1.5, -0.5], [23 / 12, -4 / 3, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -3 / 8]]
    grid = torch.linspace(1.0, 0.2, steps + 1, dtype=torch.float64)
    got, _ = impulse_response(IPNDM(answers), "noise", grid)
    want = np.zeros_like(got)
    for i in range(steps):
        (alpha, sigma, _), (low, less, _) = vp(float(grid[i])), vp(float(grid[i + 1]))
        want *= low / alpha
        for j, weight in enumerate(table[min(i + 1, answers) - 1]):
            want[i - j] += weight * (less - low / alpha * sigma)
    np.testing.assert_allclose(got, want, rtol=1e-9)
