"""Time grids: their formulas, their ends, and the inversion of the signal-to-noise ratio."""

import math

import numpy as np
import pytest
import torch
from support.golden_data import load
from support.golden_solvers_data import SDES, close

from sgmkit import Grid, create, time_grid
from sgmkit.errors import BadValue
from sgmkit.processes import time_at_snr
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP, SubVP

NAMES = ("uniform", "quadratic", "edm", "logsnr", "polyexponential")
CASES = [(grid, sde) for grid in NAMES for sde in SDES]


def noise_level(sde, t):
    """sigma = 1/|rho|, from the covariance and not from its factor."""
    kernel = sde.kernel(t)
    return (kernel.mean[:, None] @ torch.linalg.solve(kernel.cov, kernel.mean[:, :, None])) ** -0.5


@pytest.mark.parametrize(("grid", "name"), CASES)
def test_every_grid_decreases_between_exact_ends(grid, name):
    sde = SDES[name]
    for steps, t_min in ((1, 1e-3), (2, 0.3), (37, sde.t_min), (200, 1e-4)):
        t_min *= sde.horizon
        times = time_grid(grid, sde, steps, t_min)
        assert times.shape == (steps + 1,)
        assert times.dtype == torch.float64
        assert times[0] == sde.horizon
        assert times[-1] == t_min
        assert bool((times.diff() < 0).all())


@pytest.mark.parametrize("grid", ["linear", "quadratic"])
@pytest.mark.parametrize("n", [20, 50])
def test_reference_striding(grid, n):
    """CLD-SGM's grids run in s = 1 - t from 0 to 1 - eps."""
    golden = load("cld_sampler_s0")[f"s_grid_n{n}_{grid}_den0"]
    ours = time_grid({"linear": "uniform"}.get(grid, grid), CLD(), n, 1e-3)
    assert close(1 - ours, golden, 1e-15)


def test_quadratic_formula_beyond_a_unit_horizon():
    times = time_grid("quadratic", EDM(sigma_max=10.0), 4, 2.0)
    assert close(times, torch.tensor([10.0, 6.5, 4.0, 2.5, 2.0]).double(), 1e-15)
    times = time_grid("uniform", EDM(sigma_max=10.0), 4, 2.0)
    assert close(times, torch.tensor([10.0, 8.0, 6.0, 4.0, 2.0]).double(), 1e-15)


@pytest.mark.parametrize(("schedule", "n"), [("base", 18)])
def test_reference_noise_levels(schedule, n):
    """EDM's sigmas: two evaluations at each but the first, the second at the next step's start."""
    golden = load("edm_sampler")[f"edm_det_{schedule}_n{n}_evals_sigma"]
    times = time_grid("edm", EDM(), n - 1, 0.002)
    inputs = torch.cat([times[:1], times[1:].repeat_interleave(2)])
    assert close(inputs, golden, 1e-13)


def test_reference_noise_levels_of_karras_schedules():
    golden = load("k_diffusion")
    for n in (15, 30):
        times = time_grid("edm", EDM(sigma_max=50.0), n - 1, 0.01)
        assert close(times, golden[f"sigmas_karras_{n}"][:-1], 1e-12)
        times = time_grid("logsnr", EDM(sigma_max=50.0), n - 1, 0.01)
        assert close(times, golden[f"sigmas_exp_{n}"][:-1], 1e-12)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
@pytest.mark.parametrize("name", SDES)
def test_edm_grid_is_even_in_the_warped_noise_level(name, rho):
    sde = SDES[name]
    times = time_grid(f"edm:rho={rho}", sde, 12, 0.01 * sde.horizon)
    warped = noise_level(sde, times)[:, 0, 0].pow(1 / rho)
    even = np.linspace(float(warped[0]), float(warped[-1]), 13)
    np.testing.assert_allclose(warped.numpy(), even, rtol=1e-6 if sde.phases == 3 else 1e-9)


@pytest.mark.parametrize("name", SDES)
def test_logsnr_grid_is_even(name):
    sde = SDES[name]
    times = time_grid("logsnr", sde, 12, 0.01 * sde.horizon)
    levels = noise_level(sde, times)[:, 0, 0].log()
    np.testing.assert_allclose(levels.diff(), [float(levels.diff().mean())] * 12, rtol=1e-6)


def test_noise_level_of_vp_is_sigma_over_alpha():
    sde = VP()
    beta = 0.1 * 0.3 + 19.9 * 0.3**2 / 2
    level = math.sqrt(math.expm1(beta))
    (time,) = time_at_snr(sde, torch.tensor([-2 * math.log(level)], dtype=torch.float64), 1e-3)
    assert float(time) == pytest.approx(0.3, rel=1e-13)


@pytest.mark.parametrize("name", SDES)
def test_snr_is_inverted_to_rounding(name):
    sde = SDES[name]
    times = torch.tensor([0.002, 0.03, 0.4, 0.97], dtype=torch.float64) * sde.horizon
    inverted = time_at_snr(sde, sde.kernel(times).snr.log(), 1e-3 * sde.horizon)
    assert close(inverted / times, torch.ones_like(times), 1e-9 if sde.phases == 3 else 1e-12)


def test_snr_beyond_the_horizon():
    sde = SubVP()
    t = torch.tensor([1.3], dtype=torch.float64)
    level = sde.kernel(t).snr.log()
    assert close(time_at_snr(sde, level, 1e-3, 2.0), t, 1e-12)
    assert close(time_at_snr(sde, level, 1e-3), torch.ones(1).double(), 1e-12)  # held at the end


class Rounded(Grid):
    """A formula that misses its ends by rounding."""

    def times(self, sde, steps, t_min):
        return torch.linspace(sde.horizon + 1e-15, t_min - 1e-18, steps + 1, dtype=torch.float64)


def test_ends_are_exact_whatever_the_formula_rounds_to():
    times = Rounded()(VP(), 3, 1e-3)
    assert times[0] == 1
    assert times[-1] == 1e-3


def test_times_that_do_not_decrease():
    class Stuck(Grid):
        def times(self, sde, steps, t_min):
            return torch.tensor([1.0, 0.5, 0.5, t_min], dtype=torch.float64)

    with pytest.raises(BadValue) as caught:
        Stuck()(VP(), 3, 1e-3)
    assert str(caught.value) == (
        "Stuck: the times of VP do not decrease; "
        "is its signal-to-noise ratio zero or not finite at the horizon?"
    )


@pytest.mark.parametrize("grid", NAMES)
@pytest.mark.parametrize(
    ("steps", "t_min", "message"),
    [
        (0, 1e-3, "steps must be at least 1, not 0"),
        (-4, 1e-3, "steps must be at least 1, not -4"),
        (5, 0.0, "t_min must lie between 0 and the horizon 80, not 0"),
        (5, -0.5, "t_min must lie between 0 and the horizon 80, not -0.5"),
        (5, 80.0, "t_min must lie between 0 and the horizon 80, not 80"),
        (5, math.nan, "t_min must lie between 0 and the horizon 80, not nan"),
    ],
)
def test_errors(grid, steps, t_min, message):
    with pytest.raises(BadValue) as caught:
        create("grid", grid)(EDM(), steps, t_min)
    assert str(caught.value) == message
