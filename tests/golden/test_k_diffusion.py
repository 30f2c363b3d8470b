"""k-diffusion's samplers, reproduced from their recorded noise (tests/golden).

A run ends with a step to sigma = 0, which is the last-step rule ``mean``.
"""

import math

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import STAGES, churned, close, problem, stepped

from sgmkit import time_grid
from sgmkit.solvers import finish
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP
from sgmkit_solvers.ddim import DDIM
from sgmkit_solvers.euler_and_midpoint import EulerFlow
from sgmkit_solvers.exponential_multistep import DEIS, DPMPP
from sgmkit_solvers.exponential_runge_kutta import DPMPPSDE, DPMPPSingle, DPMSingle
from sgmkit_solvers.heun import Heun

LOW, HIGH = 0.01, 50.0
SDE = EDM(sigma_max=HIGH)
CHURN = {"s_min": 0.05, "s_max": 20.0, "s_noise": 1.005}


def run(solver, golden, n):
    """The end of a run, ``(B, 2)``."""
    rev, _ = problem(SDE, list(golden["noise"][:, :, None]))
    grid = golden[f"sigmas_karras_{n}"][:-1]
    u = solver.solve(rev, HIGH * golden["z"][:, None], grid)
    return finish(rev, u, grid[-1], "mean")[:, 0]


@pytest.mark.parametrize("n", [15, 30])
def test_schedules(n):
    golden, vp = load("k_diffusion"), VP(beta_min=0.1, beta_max=20.0)
    assert float(golden[f"sigmas_karras_{n}"][-1]) == 0
    sigma = vp.kernel(time_grid("uniform", vp, n - 1, 1e-3)).snr.rsqrt()
    assert close(sigma, golden[f"sigmas_vp_{n}"][:-1], 1e-12)
    assert close(time_grid("edm", SDE, n - 1, LOW), golden[f"sigmas_karras_{n}"][:-1], 1e-12)
    assert close(time_grid("logsnr", SDE, n - 1, LOW), golden[f"sigmas_exp_{n}"][:-1], 1e-12)
    poly = time_grid("polyexponential:rho=1.3", SDE, n - 1, LOW)
    assert close(poly, golden[f"sigmas_poly_{n}"][:-1], 1e-12)


ODES = {
    "euler": DDIM(),
    "heun": Heun(),
    "dpm_2": DPMSingle(order=2),
    "dpmpp_2m": DPMPP(2, weights="published", lower_final=False),
    "dpmpp_2m_sde_eta0": DPMPP(2, weights="published", lower_final=False),
    "dpmpp_sde_eta0": DPMPPSDE(ancestral=0.0),
}


@pytest.mark.parametrize("n", [15, 30])
@pytest.mark.parametrize("name", ODES)
def test_flows(name, n):
    golden = load("k_diffusion")
    assert close(run(ODES[name], golden, n), golden[f"{name}_{n}"], 1e-10)
    if name == "euler":  # of the flow: its velocity is that of the exponential step
        assert close(run(EulerFlow(), golden, n), golden[f"{name}_{n}"], 1e-10)


@pytest.mark.parametrize("n", [15, 30])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_linear_multistep(order, n):
    """Its last step is one of its own order, so that the grid goes on to (nearly) zero."""
    golden, (rev, _) = load("k_diffusion"), problem(SDE)
    grid = golden[f"sigmas_karras_{n}"].clone()
    grid[-1] = 1e-13
    u = DEIS(order, variable="sigma").solve(rev, HIGH * golden["z"][:, None], grid)
    assert close(u[:, 0], golden[f"lms{order}_{n}"], 1e-10)


STOCHASTIC = {
    "euler_ancestral": lambda eta: DPMPPSingle(order=1, ancestral=eta),
    "dpm_2_ancestral": lambda eta: DPMSingle(order=2, ancestral=eta),
    "dpmpp_2s_ancestral": lambda eta: DPMPPSingle(order=2, ancestral=eta),
    "dpmpp_sde": lambda eta: DPMPPSDE(ancestral=eta),
    "dpmpp_2m_sde": lambda eta: DPMPP(2, eta, "published", lower_final=False),
    "dpmpp_2m_sde_heun": lambda eta: DPMPP(2, eta, "exact", lower_final=False),
    "dpmpp_3m_sde": lambda eta: DPMPP(3, eta, "published", lower_final=False),
}


@pytest.mark.parametrize("n", [15, 30])
@pytest.mark.parametrize("eta", [1.0, 0.7])
@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic(name, eta, n):
    golden = load("k_diffusion")
    out = run(STOCHASTIC[name](eta), golden, n)
    assert close(out, golden[f"{name}_eta{eta:g}_{n}"], 1e-10)


@pytest.mark.parametrize("n", [15, 30])
@pytest.mark.parametrize("name", ["euler", "heun", "dpm_2"])
def test_churned(name, n):
    """S_churn is shared out among n steps, the one to zero included; each of them draws."""
    golden = load("k_diffusion")
    grid = golden[f"sigmas_karras_{n}"][:-1]
    heun = Heun(churn=20.0 * (n - 1) / n, **CHURN)
    draws = golden["noise"][: n - 1][heun.raised(SDE, grid) > grid[:-1]]
    rev, _ = problem(SDE, list(draws[:, :, None]))
    start = HIGH * golden["z"][:, None]
    u = (
        heun.solve(rev, start, grid)
        if name == "heun"
        else churned(heun, ODES[name], rev, start, grid)
    )
    assert 0 < len(draws) < n - 1
    assert close(finish(rev, u, grid[-1], "mean")[:, 0], golden[f"{name}_churn_{n}"], 1e-10)


@pytest.mark.parametrize(("calls", "orders"), [(10, [3, 3, 3, 1]), (20, [3] * 6 + [2])])
def test_dpm_fast(calls, orders):
    golden, (rev, _) = load("k_diffusion"), problem(SDE)
    grid = time_grid("logsnr", SDE, len(orders), LOW)
    solvers = [DPMSingle(order=order) for order in orders]
    u = stepped(rev, HIGH * golden["z"][:, None], grid, solvers)
    assert close(u[:, 0], golden[f"dpm_fast_{calls}"], 1e-10)
    assert rev.calls.tolist() == [calls] * len(u)


def test_dpm_adaptive():
    """The released step control, for the whole batch, around our steps of two orders."""
    golden, (rev, _) = load("k_diffusion"), problem(SDE)
    low, high = STAGES[3]
    u = before = HIGH * golden["z"][:, None]
    place, end = -torch.tensor([HIGH, LOW], dtype=torch.float64).log()
    h, tries = 0.05, 0
    while place < end - 1e-5:
        goal = torch.minimum(end, place + h)
        grid = torch.stack([place, goal]).neg().exp()
        lower, higher = low.solve(rev, u, grid), high.solve(rev, u, grid)
        unit = (0.05 * torch.maximum(lower.abs(), before.abs())).clamp_min(0.0078)
        error = float(((lower - higher) / unit).square().mean().sqrt())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        if factor >= 0.81:
            u, before, place = higher, lower, goal
        h, tries = h * factor, tries + 1
    assert tries == 12
    assert close(u[:, 0], golden["dpm_adaptive"], 1e-6)
