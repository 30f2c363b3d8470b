"""The signal-to-noise ratio of a state: how fast it falls, and when it takes a given value.

For every linear SDE ``|rho_t|^2 = m_t^T S_t^{-1} m_t`` is the signal-to-noise ratio of ``u_t``, and
it decreases in t.
"""

import math

import torch
from torch import Tensor

from sgmkit.processes.sde import Kernel, LinearSDE


def noise_level(sde: LinearSDE, t: Tensor) -> Tensor:
    """``1/|rho|``, ``(*t)``: sigma for VE, sigma/alpha for VP."""
    return sde.kernel(t).snr.rsqrt()


def whitened_diffusion(sde: LinearSDE, t: Tensor, kernel: Kernel) -> Tensor:
    """``L_dd^{-1} D_dd L_dd^{-T} (*t, r, r)``: the noise per unit of time, in units of eps_d.

    It is the likelihood weighting's W (Song et al. 2021b, thm 1).
    """
    noise = sde.diffusion(t)[..., -sde.driven :, -sde.driven :]
    inverse = kernel.whiten[..., -sde.driven :, -sde.driven :]
    return inverse @ noise @ inverse.mT


def log_snr_rate(sde: LinearSDE, t: Tensor, kernel: Kernel) -> Tensor:
    """``d log |rho|^2 / dt = -a_d^T W a_d / |rho|^2 (*t)`` with W of `whitened_diffusion`."""
    a = kernel.rho[..., -sde.driven :, None]
    weight = whitened_diffusion(sde, t, kernel)
    return -(a.mT @ weight @ a)[..., 0, 0] / kernel.snr


def time_at_snr(
    sde: LinearSDE, log_snr: Tensor, t_min: float, t_max: float | None = None
) -> Tensor:
    """The times in [t_min, t_max] at which ``log |rho_t|^2`` takes the values ``log_snr (n,)``.

    Newton's method in log t within a bracket, to rounding: the SNR decreases for every linear SDE,
    ``d |rho|^2 / dt = -a_d^T W a_d`` with the likelihood weight W. ``t_max`` is the horizon unless
    given.
    """
    ends = torch.tensor([t_min, t_max or sde.horizon], dtype=torch.float64).log()
    nodes = torch.linspace(float(ends[0]), float(ends[1]), 256, dtype=torch.float64)
    table = sde.kernel(nodes.exp()).snr.log().nan_to_num(nan=-math.inf)
    right = torch.searchsorted(-table, -log_snr).clamp(1, len(nodes) - 1)
    low, high = nodes[right - 1], nodes[right]
    x = (low + high) / 2
    for _ in range(12):
        kernel = sde.kernel(x.exp())
        gap = kernel.snr.log() - log_snr
        low, high = torch.where(gap > 0, x, low), torch.where(gap > 0, high, x)  # NaN: too far
        slope = x.exp() * log_snr_rate(sde, x.exp(), kernel)
        newton = torch.minimum(torch.maximum(x - gap / slope, low), high)
        x = torch.where(newton.isnan(), (low + high) / 2, newton)
    return x.exp()
