"""The signal-to-noise ratio of a state: its rate of change, and the time at which it has a value.

It is ``|rho_t|^2 = m_t^T S_t^{-1} m_t`` and decreases in t for every linear SDE.
"""

import math

import torch
from torch import Tensor

from sgmkit.processes.sde import Kernel, LinearSDE


def noise_level(sde: LinearSDE, t: Tensor) -> Tensor:
    """``1/|rho|``, ``(*t)``: sigma for VE and EDM, sigma/alpha for VP."""
    return sde.kernel(t).snr.rsqrt()


def whitened_diffusion(sde: LinearSDE, t: Tensor, kernel: Kernel) -> Tensor:
    """``L_dd^{-1} D_dd L_dd^{-T} (*t, r, r)``, D in the whitened frame of the driven phases.

    It is W of the likelihood weighting (Song et al. 2021b, thm 1).
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
    """The times in [t_min, t_max] at which ``log |rho_t|^2`` is ``log_snr (n,)``, to rounding.

    By Newton's method in log t within a bracket that shrinks.

    Args:
        t_max: the horizon if None.
    """
    ends = torch.tensor([t_min, t_max or sde.horizon], dtype=torch.float64).log()
    nodes = torch.linspace(float(ends[0]), float(ends[1]), 256, dtype=torch.float64)
    table = sde.kernel(nodes.exp()).snr.log().nan_to_num(nan=-math.inf)
    # The bracket [low, high] of each value comes from a table, whose SNR decreases.
    right = torch.searchsorted(-table, -log_snr).clamp(1, len(nodes) - 1)
    low, high = nodes[right - 1], nodes[right]
    x = (low + high) / 2
    for _ in range(12):
        kernel = sde.kernel(x.exp())
        gap = kernel.snr.log() - log_snr
        # A gap that is NaN (an SNR of zero) means that x is too late, like a negative one.
        low, high = torch.where(gap > 0, x, low), torch.where(gap > 0, high, x)
        slope = x.exp() * log_snr_rate(sde, x.exp(), kernel)  # d log |rho|^2 / d log t
        newton = torch.minimum(torch.maximum(x - gap / slope, low), high)
        x = torch.where(newton.isnan(), (low + high) / 2, newton)
    return x.exp()
