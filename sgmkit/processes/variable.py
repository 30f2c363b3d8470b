"""Variables of a time grid: in which answers are polynomials, and stages are placed."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.sde import LinearSDE
from sgmkit.processes.weighting import log_snr_rate

Variable = Literal["t", "logsnr", "sigma"]


def coordinate(sde: LinearSDE, variable: Variable, t: Tensor) -> tuple[Tensor, Tensor]:
    """The variable's value and its derivative by time at ``t (*t)``.

    ``logsnr`` is half the log signal-to-noise ratio, DPM-Solver's lambda; ``sigma`` the noise level
    ``1/|rho|``, sigma itself for VE and DEIS' rho.
    """
    if variable == "t":
        return t, torch.ones_like(t)
    if variable not in get_args(Variable):
        raise BadValue(f"variable {variable!r} is none of {', '.join(get_args(Variable))}")
    kernel = sde.kernel(t)
    rate = log_snr_rate(sde, t, kernel) / 2
    if variable == "logsnr":
        return 0.5 * kernel.snr.log(), rate
    sigma = kernel.snr.rsqrt()
    return sigma, -sigma * rate


def place(sde: LinearSDE, variable: str, t: Tensor, s: Tensor, share: float | Tensor) -> Tensor:
    """The times a share of the way from ``t (n,)`` to ``s (n,)``, even in a variable.

    The share is a number or ``(n,)``; t and s may be single times. The variable is one of
    `Variable`, or ``sqrt``, which is even in the root of t.
    """
    if variable == "t":
        return t + share * (s - t)
    if variable == "sqrt":
        return (t.sqrt() + share * (s.sqrt() - t.sqrt())).square()
    low, high = float(s.min()), float(t.max())
    if variable == "logsnr":
        start, end = (sde.kernel(x).snr.log() for x in (t, s))
        return time_at_snr(sde, start + share * (end - start), low, high)
    start, end = (noise_level(sde, x) for x in (t, s))
    return time_at_snr(sde, -2 * (start + share * (end - start)).log(), low, high)


def noise_level(sde: LinearSDE, t: Tensor) -> Tensor:
    """``1/|rho|``, ``(*t)``: sigma for VE, sigma/alpha for VP."""
    return sde.kernel(t).snr.rsqrt()


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
    place = torch.searchsorted(-table, -log_snr).clamp(1, len(nodes) - 1)
    low, high = nodes[place - 1], nodes[place]
    x = (low + high) / 2
    for _ in range(12):
        kernel = sde.kernel(x.exp())
        gap = kernel.snr.log() - log_snr
        low, high = torch.where(gap > 0, x, low), torch.where(gap > 0, high, x)  # NaN: too far
        slope = x.exp() * log_snr_rate(sde, x.exp(), kernel)
        newton = torch.minimum(torch.maximum(x - gap / slope, low), high)
        x = torch.where(newton.isnan(), (low + high) / 2, newton)
    return x.exp()
