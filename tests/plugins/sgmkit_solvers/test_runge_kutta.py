"""Runge-Kutta tableaux on the velocity: the textbook's steps."""

import pytest
import torch
from support.golden_solvers_data import MIXTURE, SDES, close, numbers, times

from sgmkit import ClockedSDE, SeededNoise
from sgmkit_exact.exact import Exact
from sgmkit_solvers.euler_and_midpoint import EulerFlow, Midpoint
from sgmkit_solvers.runge_kutta import RungeKutta

SPLIT = [n for n, sde in SDES.items() if isinstance(sde, ClockedSDE) and sde.phases > 1]


@pytest.mark.parametrize("name", ["vp", "cld", "third"])
def test_classical_runge_kutta(name):
    """The textbook's steps on the velocity of the flow."""
    sde = SDES[name]
    t, s = times(sde, 0.8, 0.7)
    rev = Exact(sde, MIXTURE).reverse(SeededNoise(0, range(5)))
    u, h = numbers(5, sde.phases, 2), s - t
    one = rev.velocity(u, t)
    two = rev.velocity(u + h / 2 * one, t + h / 2)
    three = rev.velocity(u + h / 2 * two, t + h / 2)
    four = rev.velocity(u + h * three, s)
    grid = torch.stack([t, s])
    assert close(
        RungeKutta().solve(rev, u, grid), u + h / 6 * (one + 2 * (two + three) + four), 1e-11
    )
    assert close(Midpoint().solve(rev, u, grid), u + h * two, 1e-11)
    assert close(EulerFlow().solve(rev, u, grid), u + h * one, 1e-12)
    late = rev.velocity(u + 2 * h / 3 * one, t + 2 * h / 3)
    ralston = u + h * (one / 4 + 3 * late / 4)
    assert close(RungeKutta("ralston").solve(rev, u, grid), ralston, 1e-11)
