"""DEIS as released, on the exact model (tests/golden).

With its left-endpoint sums in place of our quadrature the solvers agree to rounding; without, as
far as the sums are right.
"""

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import close, left_sums, problem

from sgmkit import time_grid
from sgmkit.processes import time_at_snr, times_between
from sgmkit.solvers import NoiseForm, multistep_operators
from sgmkit_sdes.vp import VP
from sgmkit_solvers.exponential_multistep import DEIS
from sgmkit_solvers.ipndm import IPNDM
from sgmkit_solvers.runge_kutta import RungeKutta

SDE, T_MIN = VP(beta_min=0.1, beta_max=20.0), 1e-3
SUMS = 2.5e-4
"""Relative error of the released sums."""
VARIABLES = {"tab": "t", "rhoab": "sigma"}
CASES = [
    (kind, order, grid)
    for kind in VARIABLES
    for order in range(4)
    for grid in ("t1", "t2", "log1", "rho7")
    if (kind, grid) != ("tab", "rho7")  # not in the reference set
]
METHODS = {
    "1euler": "euler",
    "2heun": "heun",
    "3kutta": "kutta3",
    "3ral": "ralston3",
    "3heun": "heun3",
    "3vdh": "houwen3",
    "3ssprk": "ssp3",
    "4rk": "rk4",
}


def run(solver, golden, grid):
    """The end of a run on a named grid, ``(B, 2)``."""
    rev, _ = problem(SDE)
    return solver.solve(rev, golden["x_T"][:, None], golden[f"ts_{grid}"])[:, 0]


def table(kind, order, times):
    """Our coefficients as DEIS stores them: of the state, and of the answers, newest first."""
    counts = [min(order + 1, i + 1) for i in range(len(times) - 1)]
    steps = multistep_operators(NoiseForm(SDE), VARIABLES[kind], times, counts, lambda _: "exact")
    out = torch.zeros(len(counts), order + 2, dtype=torch.float64)
    for row, count, step in zip(out, counts, steps, strict=True):
        row[: count + 1] = torch.tensor(step.rows[0], dtype=torch.float64)
    return out if kind == "tab" else out[:, 1:] / SDE.kernel(times[1:]).mean


def test_schedule_and_grids():
    golden, times = load("deis_vp"), torch.tensor([[1.0], [T_MIN]], dtype=torch.float64)
    sigma = SDE.kernel(golden["t"]).snr.rsqrt()
    assert close(sigma, golden["rho_of_t"], 1e-12)
    assert close(time_at_snr(SDE, -2 * sigma.log(), T_MIN / 2), golden["t_of_rho"], 1e-12)
    rate = NoiseForm(SDE).rate(golden["t"])[:, 0, 0]
    assert close(rate, golden["eps_integrand"], 1e-12)
    for name, grid in (("t1", "uniform"), ("log1", "logsnr"), ("rho7", "edm:rho=7")):
        assert close(time_grid(grid, SDE, 10, T_MIN), golden[f"ts_{name}"], 1e-12)
    roots = torch.cat([times_between(SDE, "sqrt", *times, i / 10) for i in range(11)])
    assert close(roots, golden["ts_t2"], 1e-12)


@pytest.mark.parametrize(("kind", "order", "grid"), CASES)
def test_adams_bashforth(kind, order, grid):
    golden = load("deis_vp")
    ours, reference = table(kind, order, golden[f"ts_{grid}"]), golden[f"{kind}{order}_{grid}_coef"]
    assert bool(((ours == 0) == (reference == 0)).all())
    assert bool(((ours - reference).abs() <= SUMS * reference.abs()).all())
    out = run(DEIS(order + 1, VARIABLES[kind]), golden, grid)
    assert close(out, golden[f"{kind}{order}_{grid}_final"], 2 * SUMS)
    if kind == "rhoab" and order == 0:
        assert close(out, golden[f"{kind}{order}_{grid}_final"], 1e-12)
    if (kind, order, grid) == ("tab", 0, "t1"):  # DDIM
        assert close(ours[:, 1], golden["ddim_exact_coef_t1"], 1e-12)


@pytest.mark.parametrize(("kind", "order", "grid"), CASES)
def test_adams_bashforth_with_released_sums(monkeypatch, kind, order, grid):
    golden = load("deis_vp")
    monkeypatch.setattr("sgmkit.solvers.exponential_integrators.moments", left_sums)
    ours, reference = table(kind, order, golden[f"ts_{grid}"]), golden[f"{kind}{order}_{grid}_coef"]
    assert bool(((ours - reference).abs() <= 1e-9 * reference.abs()).all())
    out = run(Fresh(order + 1, VARIABLES[kind]), golden, grid)
    assert close(out, golden[f"{kind}{order}_{grid}_final"], 1e-9)


class Fresh(DEIS):
    """As it is no data class of its own, no table of it is remembered."""


@pytest.mark.parametrize("grid", ["t1", "t2", "log1", "rho7"])
@pytest.mark.parametrize("name", METHODS)
def test_runge_kutta(name, grid):
    golden = load("deis_vp")
    out = run(RungeKutta(METHODS[name], "noise", "sigma"), golden, grid)
    assert close(out, golden[f"rhork_{name}_{grid}_final"], 1e-9)


def test_ipndm():
    golden = load("deis_vp")
    assert close(run(IPNDM(), golden, "t1"), golden["ipndm_final"], 1e-9)
