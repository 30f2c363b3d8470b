"""DPM-Solver and DPM-Solver++ as released, on the exact model (tests/golden)."""

from itertools import accumulate

import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import STAGES, close, problem, stepped

from sgmkit import time_grid
from sgmkit.processes import time_at_snr, times_between
from sgmkit.solvers import finish
from sgmkit_sdes.vp import VP
from sgmkit_solvers.adaptive_runge_kutta import RK45
from sgmkit_solvers.exponential_multistep import DPM, DPMPP
from sgmkit_solvers.exponential_runge_kutta import DPMPPSingle, DPMSingle

SDE, T_MIN = VP(beta_min=0.1, beta_max=20.0), 1e-3
END = torch.tensor(T_MIN, dtype=torch.float64)
GRIDS = {"time_uniform": "uniform", "logSNR": "logsnr"}
MULTI = {"dpm": DPM, "dpmpp": DPMPP}
SINGLE = {"dpm": DPMSingle, "dpmpp": DPMPPSingle}


def run(solver, grid, start):
    """The end of a run, ``(B, 2)``, and its network's inputs, ``(calls, B, 2)``."""
    rev, seen = problem(SDE)
    out = solver.solve(rev, start[:, None], grid)
    return out[:, 0], torch.stack(seen)[:, :, 0]


def test_schedule_and_grids():
    golden = load("dpm_solver")
    kernel, log_snr = SDE.kernel(golden["t"]), 2 * golden["lambda"]
    assert close(kernel.mean[:, 0].log(), golden["log_alpha"], 1e-14)
    assert close(kernel.chol[:, 0, 0], golden["sigma"], 1e-10)
    assert close(0.5 * kernel.snr.log(), golden["lambda"], 1e-10)
    assert close(time_at_snr(SDE, log_snr, 1e-5), golden["inverse_lambda"], 1e-10)
    ends = torch.tensor([[1.0], [T_MIN]], dtype=torch.float64)
    for n in (10, 20):
        for skip, grid in GRIDS.items():
            assert close(time_grid(grid, SDE, n, T_MIN), golden[f"t_{skip}_N{n}"], 1e-11)
        shares = torch.arange(n + 1, dtype=torch.float64) / n
        roots = torch.cat([times_between(SDE, "sqrt", *ends, float(share)) for share in shares])
        assert close(roots, golden[f"t_time_quadratic_N{n}"], 1e-14)


def test_reference_flow():
    golden, (rev, _) = load("dpm_solver"), problem(SDE)
    solver = RK45(rtol=1e-10, atol=1e-10)
    out = solver.solve(rev, golden["x_T"][:, None], torch.stack([torch.ones_like(END), END]))
    assert close(out[:, 0], golden["reference_ode"], 1e-8)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("skip", GRIDS)
@pytest.mark.parametrize("kind", MULTI)
def test_multistep(kind, skip, n, order):
    golden, name = load("dpm_solver"), f"{kind}_multi{order}_{skip}_{n}"
    solver = MULTI[kind](max_order=order, weights="published")
    out, seen = run(solver, time_grid(GRIDS[skip], SDE, n, T_MIN), golden["x_T"])
    assert close(out, golden[name], 1e-10)
    if f"{name}_traj" in golden:
        assert close(torch.cat([seen, out[None]]), golden[f"{name}_traj"], 1e-10)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("order", [2, 3])
def test_few_steps_end_with_lower_orders(order, n):
    golden, name = load("dpm_solver"), f"dpmpp_multi{order}_time_uniform_{n}"
    grid = time_grid("uniform", SDE, n, T_MIN)
    out, _ = run(DPMPP(order, weights="published"), grid, golden["x_T"])
    assert close(out, golden[name], 1e-10)
    plain, _ = run(DPMPP(order, weights="published", lower_final=False), grid, golden["x_T"])
    assert not close(plain, golden[name], 1e-2)
    if order == 3:
        assert close(plain, golden[f"{name}_nolof"], 1e-10)


def test_variants_of_the_second_order():
    golden = load("dpm_solver")
    out, _ = run(DPMPP(2), time_grid("logsnr", SDE, 20, T_MIN), golden["x_T"])
    assert close(out, golden["dpmpp_multi2_taylor_logSNR_20"], 1e-10)
    published = DPMPP(2, weights="published")
    out, _ = run(published, time_grid("logsnr", SDE, 20, 1e-4), golden["x_T"])
    assert close(out, golden["dpmpp_multi2_logSNR_20_tend2"], 1e-10)
    rev, _ = problem(SDE)
    out = published.solve(rev, golden["x_T"][:, None], time_grid("uniform", SDE, 20, T_MIN))
    clean = finish(rev, out, END, "mean")[:, 0]
    assert close(clean, golden["dpmpp_multi2_time_uniform_20_dz"], 1e-10)
    assert rev.calls.tolist() == [21] * len(out)


def orders_of(calls, order):
    """The orders of a singlestep run, as released: so many that the calls add up."""
    if order < 3:
        return [order] * (calls // order) + [1] * (calls % order)
    steps = calls // 3
    return [3] * (steps - 1) + [2, 1] if calls % 3 == 0 else [3] * steps + [calls % 3]


def test_orders_add_up():
    assert orders_of(10, 3) == [3, 3, 3, 1]
    assert orders_of(20, 3) == [3, 3, 3, 3, 3, 3, 2]
    assert orders_of(9, 3) == [3, 3, 2, 1]
    assert orders_of(5, 2) == [2, 2, 1]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("skip", GRIDS)
@pytest.mark.parametrize("kind", SINGLE)
def test_singlestep(kind, skip, n, order):
    """Equal steps in log-SNR; in time, steps and stages that are even in time."""
    golden, orders = load("dpm_solver"), orders_of(n, order)
    if skip == "logSNR":
        inner, grid = "logsnr", time_grid("logsnr", SDE, len(orders), T_MIN)
    else:
        inner, grid = "t", time_grid("uniform", SDE, n, T_MIN)[[0, *accumulate(orders)]]
    rev, _ = problem(SDE)
    solvers = [SINGLE[kind](order=now, inner=inner) for now in orders]
    out = stepped(rev, golden["x_T"][:, None], grid, solvers)
    assert close(out[:, 0], golden[f"{kind}_single{order}_{skip}_{n}"], 1e-10)
    assert rev.calls.tolist() == [n] * len(out)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("kind", SINGLE)
def test_singlestep_variants(kind, order):
    golden, orders = load("dpm_solver"), orders_of(20, order)
    rev, _ = problem(SDE)
    solvers = [SINGLE[kind](order=now, final="taylor") for now in orders]
    grid = time_grid("logsnr", SDE, len(orders), T_MIN)
    out = stepped(rev, golden["x_T"][:, None], grid, solvers)
    assert close(out[:, 0], golden[f"{kind}_single{order}_taylor_logSNR_20"], 1e-10)
    grid = torch.linspace(1.0, T_MIN**0.5, 20 // order + 1, dtype=torch.float64).square()
    out, _ = run(SINGLE[kind](order=order, inner="sqrt"), grid, golden["x_T"])
    assert close(out, golden[f"{kind}_fixed{order}_quad_20"], 1e-10)


@pytest.mark.parametrize(("order", "tries"), [(2, 57), (3, 25)])
def test_adaptive(order, tries):
    """The released step control, for the whole batch, around our steps of two orders.

    Its next step goes through float32, hence the tolerance.
    """
    golden = load("dpm_solver")
    rev, _ = problem(SDE)
    low, high = STAGES[order]
    u = before = golden["x_T"][:, None]
    t, h, count = torch.ones((), dtype=torch.float64), torch.tensor(0.05), 0
    end = 0.5 * SDE.kernel(END).snr.log()
    while t - END > 1e-5:
        now = 0.5 * SDE.kernel(t).snr.log()
        grid = torch.cat([t[None], time_at_snr(SDE, 2 * (now + h)[None], T_MIN / 2)])
        lower, higher = low.solve(rev, u, grid), high.solve(rev, u, grid)
        unit = (0.05 * torch.maximum(lower.abs(), before.abs())).clamp_min(0.0078)
        error = ((higher - lower) / unit).flatten(1).square().mean(1).sqrt().max()
        if error <= 1:
            u, before, t, now = higher, lower, grid[1], 0.5 * SDE.kernel(grid[1]).snr.log()
        h = torch.minimum(0.9 * h * (error ** (-1 / order)).float(), end - now)
        count += 1
    assert count == tries
    assert close(u[:, 0], golden[f"dpm_adaptive{order}"], 1e-4)
