"""Heun: what churn does to the law, to the noise level and to the noise."""

import math

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, times
from support.laws import assert_law

from sgmkit import ClockedSDE, SeededNoise, time_grid
from sgmkit_exact.exact import Exact
from sgmkit_solvers.heun import Heun

CLOCKED = {name: sde for name, sde in SDES.items() if isinstance(sde, ClockedSDE)}


@pytest.mark.parametrize("name", ["edm", "vp", "cld"])
def test_churn_keeps_the_law(name):
    """Noise goes in by the forward SDE and out by the flow: the law at the end is the same."""
    sde, n = SDES[name], 4000
    model = Exact(sde, MIXTURE)
    grid = time_grid("edm", sde, 60, 0.02 * sde.horizon)
    out = model.sample(n, Heun(churn=30.0), grid, SeededNoise(7, range(n)), start="exact")
    assert_law(sde, out.u, grid[-1], slack=0.01)
    plain = model.sample(n, Heun(), grid, SeededNoise(7, range(n)), start="exact")
    assert_law(sde, plain.u, grid[-1], slack=0.01)
    both = torch.stack([out.u[:, 0, 0], plain.u[:, 0, 0]]).corrcoef()
    assert abs(float(both[0, 1])) < 0.2  # and the way there was forgotten


@pytest.mark.parametrize("name", ["edm", "vp", "subvp", "geometric", "cld", "coupled"])
def test_churn_raises_the_noise_level(name):
    sde = SDES[name]
    grid = time_grid("edm", sde, 8, 0.02 * sde.horizon)
    level = sde.kernel(grid[:-1]).snr ** -0.5
    for churn, gamma in ((0.0, 0.0), (0.8, 0.1), (2.0, 0.25), (50.0, math.sqrt(2) - 1)):
        high = Heun(churn=churn).raised(sde, grid)
        ratio = sde.kernel(high).snr ** -0.5 / level
        assert close(ratio, torch.full_like(ratio, 1 + gamma), 1e-8)
    window = Heun(churn=0.8, s_min=float(level[5]) * 0.999, s_max=float(level[2]) * 1.001)
    raised = window.raised(sde, grid) > grid[:-1]
    assert raised.tolist() == [False] * 2 + [True] * 4 + [False] * 2


def test_churn_noise_is_scaled():
    """s_noise multiplies the standard deviation of what the forward step adds, not the step."""
    sde = SDES["cld"]
    t, high = times(sde, 0.3, 0.35)
    (one,) = Heun().jumps(sde, t[None], high[None])
    (two,) = Heun(s_noise=2.0).jumps(sde, t[None], high[None])
    phi, cov = sde.transition(t, high)
    (_, root), (mean, double) = (
        torch.tensor(jump.rows, dtype=torch.float64).split(2, dim=1) for jump in (one, two)
    )
    assert close(root @ root.T, cov, 1e-14)
    assert close(double, 2 * root, 1e-14)
    assert close(mean, phi, 1e-14)
