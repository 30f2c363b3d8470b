"""DDIM: its formula, and one point of data."""

import pytest
import torch
from support.golden_solvers_data import SDES, Law, close, numbers, times

from sgmkit import ClockedSDE, Reverse, SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_sdes.vp import VP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.ssem import SSEM

CLOCKED = {name: sde for name, sde in SDES.items() if isinstance(sde, ClockedSDE)}


@pytest.mark.parametrize(("solver", "places"), [(SSEM(), [0, 1]), (DDIM(), [0, 1])])
def test_the_network_is_called_at_the_start(solver, places):
    assert call_times(solver) == pytest.approx([0.8, 0.6])


def call_times(solver):
    seen = []
    rev = Reverse(VP(), lambda u, t: (seen.append(float(t)), u)[1], SeededNoise(0, range(2)))
    solver.solve(rev, numbers(2, 1, 3), torch.tensor([0.8, 0.6, 0.2], dtype=torch.float64))
    return seen


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "geometric", "edm", "cld sloped", "coupled"])
def test_one_point_is_reached_in_one_step(name):
    """A law at one point: the exact flow, for any number of phases, is a single step."""
    sde = SDES[name]
    law = Law([1.0], [[0.8, -0.3]], [[0.0, 0.0]])
    model = Exact(sde, law)
    t, s = times(sde, 0.9, 0.2)
    kernel = sde.kernel(t)
    u = kernel.mean[:, None] * law.mixture().means[None] + kernel.chol @ numbers(4, sde.phases, 2)
    rev = model.reverse(SeededNoise(0, range(4)))
    out = DDIM().solve(rev, u, torch.stack([t, s]))
    flow = RK45(rtol=1e-9, atol=1e-9).solve(rev, u, torch.stack([t, s]))
    assert close(out, flow, 1e-6)
    mean = sde.kernel(s).mean
    white = torch.linalg.solve(sde.kernel(s).chol, out - mean[:, None] * law.mixture().means)
    start = torch.linalg.solve(kernel.chol, u - kernel.mean[:, None] * law.mixture().means)
    assert close(white.square().sum(1), start.square().sum(1), 1e-9)  # a rotation of the noise


@pytest.mark.parametrize("name", ["vp", "subvp", "ve"])
def test_ddim_formula(name):
    """x_s = alpha_s x + sigma_s eps for one phase, whatever the network says."""
    sde = SDES[name]
    t, s = times(sde, 0.8, 0.5)
    u, eps = numbers(3, 1, 2), numbers(3, 1, 2, seed=1)
    rev = Reverse(sde, lambda u, t: eps, SeededNoise(0, range(3)))
    out = DDIM().solve(rev, u, torch.stack([t, s]))
    high, low = sde.kernel(t), sde.kernel(s)
    x = (u - high.chol[0, 0] * eps) / high.mean[0]
    assert close(out, low.mean[0] * x + low.chol[0, 0] * eps, 1e-12)
