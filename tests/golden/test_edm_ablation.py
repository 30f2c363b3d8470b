"""EDM's ablation sampler, reproduced from its recorded noise (tests/golden).

Karras et al. 2022 sample in any schedule sigma(t) and scaling s(t): our processes are such pairs.
Steps are Euler's or of the second-order family in the schedule's own time, at the noise levels of
a discretisation, and the last one goes to t = 0 by Euler.
"""

from dataclasses import dataclass

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import churned, close, problem

from sgmkit import ClockedSDE, time_grid
from sgmkit.processes import time_at_snr
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP
from sgmkit_solvers.euler_and_midpoint import EulerFlow
from sgmkit_solvers.heun import Heun
from sgmkit_solvers.runge_kutta import RungeKutta

STEPS = 18
CHURN = {"s_min": 0.05, "s_max": 50.0, "s_noise": 1.003}
RANGES = {"ve": (0.02, 100.0), "iddpm": (0.002, 81.0), "edm": (0.002, 80.0)}
VP_RANGE = VP(beta_min=0.1, beta_max=20.0)


@dataclass(frozen=True)
class Root(ClockedSDE):
    """``du = dw``: the noise level is the root of time, Score-SDE's VE as Karras et al. have it."""

    sigma_max: float = 100.0

    drift_matrix = ((0.0,),)
    noise_matrix = ((1.0,),)
    precision = ((0.0,),)

    @property
    def horizon(self):
        return self.sigma_max**2

    def clock(self, t):
        return t


def levels(name):
    """The noise levels of a discretisation, ``(STEPS,)``, over its own range."""
    shares = torch.arange(STEPS, dtype=torch.float64) / (STEPS - 1)
    if name == "vp":
        return VP_RANGE.kernel(time_grid("uniform", VP_RANGE, STEPS - 1, 1e-3)).snr.rsqrt()
    low, high = RANGES[name]
    if name == "ve":
        return high * (low / high) ** shares
    if name == "iddpm":
        table = load("edm_precond_loss")["iddpm_u"]
        table = table[(low <= table) & (table <= high)]
        return table[((len(table) - 1) * shares).round().long()]
    return time_grid("edm", EDM(sigma_max=high), STEPS - 1, low)


def process(name, sigma):
    """The process of a schedule and its scaling.

    VP's comes from the ends of the range, which it reaches at 1e-3 and 1; EDM's own range would
    have a beta below zero at the very start, where nothing is asked of it.
    """
    if name == "linear":
        return EDM(sigma_max=float(sigma[0]))
    if name == "ve":
        return Root(sigma_max=float(sigma[0]))
    start, end = torch.log1p(sigma[[-1, 0]].square()).tolist()
    slope = 2 * (start / 1e-3 - end) / (1e-3 - 1)
    beta_min = end - slope / 2
    return VP(beta_min=beta_min, beta_max=beta_min + slope)


CASES = [
    ("vp", "vp_vp"),
    ("ve", "ve_none"),
    ("iddpm", "linear_none"),
    ("edm", "linear_none"),
    ("edm", "vp_vp"),
    ("vp", "linear_none"),
]


@pytest.mark.parametrize("churn", ["det", "churn"])
@pytest.mark.parametrize("alpha", [None, 1.0, 2 / 3])
@pytest.mark.parametrize(("levels_of", "schedule"), CASES)
def test_ablation(levels_of, schedule, alpha, churn):
    golden, sigma = load("edm_sampler"), levels(levels_of)
    sde = process(schedule.split("_")[0], sigma)
    early = 9e-4 if schedule == "vp_vp" else 1e-9 * sde.horizon  # before, beta may be negative
    grid = time_at_snr(sde, -2 * sigma.log(), early, 1.1 * sde.horizon)
    share = 40.0 * (STEPS - 1) / STEPS if churn == "churn" else 0.0
    heun = Heun(churn=share, alpha=alpha or 1.0, **CHURN)
    draws = golden["noise"][: STEPS - 1][heun.raised(sde, grid) > grid[:-1]]
    rev, _ = problem(sde, list(draws[:, :, None]))
    top = sde.kernel(grid[0]).cov[0, 0].sqrt()
    u = top * golden["latents"][:, None]
    u = heun.solve(rev, u, grid) if alpha else churned(heun, EulerFlow(), rev, u, grid)
    u = u - grid[-1] * rev.velocity(u, grid[-1])
    name = f"abl_{'heun' if alpha else 'euler'}_{levels_of}_{schedule}_a{alpha or 1:.2f}_{churn}"
    assert close(u[:, 0], golden[name], 1e-11)
    assert rev.calls.tolist() == [2 * STEPS - 1 if alpha else STEPS] * len(u)


def test_the_family_is_the_tableaux():
    sde = VP()
    grid, start = time_grid("quadratic", sde, 10, 1e-2), load("edm_sampler")["latents"][:, None]
    for alpha, method in ((0.5, "midpoint"), (2 / 3, "ralston"), (1.0, "heun")):
        out = Heun(alpha=alpha).solve(problem(sde)[0], start, grid)
        assert close(out, RungeKutta(method).solve(problem(sde)[0], start, grid), 1e-12)
