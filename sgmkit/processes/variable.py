"""Variables of a time grid: in which answers are polynomials, and stages are placed."""

from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.sde import LinearSDE
from sgmkit.processes.snr import log_snr_rate, noise_level, time_at_snr

Variable = Literal["t", "logsnr", "sigma"]


def variable_and_rate(sde: LinearSDE, variable: Variable, t: Tensor) -> tuple[Tensor, Tensor]:
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


def times_between(
    sde: LinearSDE, variable: str, t: Tensor, s: Tensor, share: float | Tensor
) -> Tensor:
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
