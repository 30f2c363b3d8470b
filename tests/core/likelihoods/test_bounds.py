"""Variational bounds under the exact Normal prior, where their values are known."""

import pytest
import torch

from sgmkit import SeededNoise, time_grid
from sgmkit.likelihoods import chain_excess, diffusion_excess
from sgmkit.processes import TimeSampler, normal_excess
from sgmkit_lsgm.normal import Normal
from sgmkit_sdes.cld import CLD
from sgmkit_sdes.vp import VP

ROWS = 400


def problem(sde):
    model, noise = Normal((3,), sde).double(), SeededNoise(0, range(ROWS))
    z = noise.stream("z")(torch.empty(ROWS, 3, dtype=torch.float64))
    kernel = sde.kernel(torch.tensor(model.t_min, dtype=torch.float64))
    return model, z, noise, normal_excess(kernel, sde.data_var(), z)


@pytest.mark.parametrize("sde", [VP(), CLD()], ids=["vp", "cld"])
@torch.no_grad()
def test_the_control_variate_takes_all_chance_out_of_a_normal_prior(sde):
    """Each draw in continuous time is the closed form, whichever stratum it comes from."""
    model, z, noise, want = problem(sde)
    times = TimeSampler(sde, "likelihood", model.t_min)
    for stratum in ((0, 1), (2, 3)):
        rev, source = model.reverse(noise), noise.stream("bound")
        excess = diffusion_excess(rev, z, source, times, stratum)
        torch.testing.assert_close(excess, want, rtol=1e-5, atol=1e-5)
        assert rev.calls.tolist() == [1] * ROWS


@pytest.mark.parametrize("sde", [VP(), CLD()], ids=["vp", "cld"])
@torch.no_grad()
def test_the_chain_costs_more_and_less_so_on_a_finer_grid(sde):
    model, z, noise, want = problem(sde)
    gaps = []
    for steps in (20, 200):
        rev, grid = model.reverse(noise), time_grid("logsnr", sde, steps, model.t_min)
        rows = (chain_excess(rev, z, noise.stream("bound"), grid) - want).mean(1)
        assert rev.calls.tolist() == [steps] * ROWS
        gaps.append(float(rows.mean()))
    assert gaps[0] > 3 * gaps[1] > -0.1
    assert gaps[0] > 0.2
