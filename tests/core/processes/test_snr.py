"""The signal-to-noise ratio: its slope by finite differences, and the time of a given value."""

import pytest
import torch
from support.processes import EVERY, f64

from sgmkit.processes import log_snr_rate, noise_level, time_at_snr, weight_matrix
from sgmkit.processes.snr import whitened_diffusion
from sgmkit_sdes.ve import EDM
from sgmkit_sdes.vp import VP

SHARES = [1e-3, 0.05, 0.4, 0.95]


def test_noise_level_of_the_papers():
    t = f64([0.1, 0.9])
    assert torch.allclose(noise_level(EDM(), t), t, rtol=1e-14)
    kernel = VP().kernel(t)
    ratio = kernel.chol[:, 0, 0] / kernel.mean[:, 0]
    assert torch.allclose(noise_level(VP(), t), ratio, rtol=1e-14)


@pytest.mark.parametrize("name", EVERY)
def test_rate_is_the_slope_of_the_log_snr(name):
    sde = EVERY[name]
    t = f64(SHARES) * sde.horizon
    h = 1e-3 * t
    logs = {n: sde.kernel(t + n * h).snr.log() for n in (-2, -1, 1, 2)}
    slope = (8 * (logs[1] - logs[-1]) - (logs[2] - logs[-2])) / (12 * h)
    # Where the rate nearly vanishes (a driven phase without data), compare with the usual size.
    rate = log_snr_rate(sde, t, sde.kernel(t))
    assert torch.allclose(rate, slope, rtol=1e-6, atol=1e-6 / sde.horizon)


@pytest.mark.parametrize("name", EVERY)
def test_whitened_diffusion_is_the_likelihood_weight(name):
    sde = EVERY[name]
    t = f64(SHARES) * sde.horizon
    kernel = sde.kernel(t)
    weight = weight_matrix(sde, t, kernel, "likelihood")
    assert torch.equal(weight, whitened_diffusion(sde, t, kernel))


@pytest.mark.parametrize("name", EVERY)
def test_times_come_back_from_their_snr(name):
    sde = EVERY[name]
    t = f64([0.01, 0.05, 0.4, 0.95]) * sde.horizon
    again = time_at_snr(sde, sde.kernel(t).snr.log(), 1e-3 * sde.horizon)
    gap = sde.kernel(again).snr.log() - sde.kernel(t).snr.log()
    assert float(gap.abs().max()) < 1e-9
