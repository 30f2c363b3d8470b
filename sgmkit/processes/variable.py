"""Monotone functions of time in which solvers work: t, the half log-SNR, or the noise level.

Exponential integrators approximate the network's predictions by polynomials in such a variable, and
place the stages of a step evenly in it.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.sde import LinearSDE
from sgmkit.processes.snr import log_snr_rate, noise_level, time_at_snr

Variable = Literal["t", "logsnr", "sigma"]
"""t: time; logsnr: half the log-SNR, DPM-Solver's lambda; sigma: the noise level.

See `variable_and_rate`.
"""
_PLACED = (*get_args(Variable), "sqrt")
"""Names that `times_between` accepts."""


def variable_and_rate(sde: LinearSDE, variable: Variable, t: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a variable at ``t (*t)`` and its derivative in t, ``(*t)`` each.

    ``logsnr`` is ``1/2 log |rho|^2``, the lambda of DPM-Solver (Lu et al. 2022); ``sigma`` is
    ``1/|rho|``, the rho of DEIS (Zhang & Chen 2023), and sigma itself for VE.
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
    """Times at which the variable has gone the fraction ``share`` from its value at t to that at s.

    Args:
        variable: one of `Variable`, or ``sqrt`` for the square root of t.
        t, s: start and end of steps, ``(n,)`` or ``()`` each.
        share: 0 for t, 1 for s; a number or ``(n,)``.

    Raises:
        BadValue: for an unknown variable.
    """
    if variable not in _PLACED:
        raise BadValue(f"variable {variable!r} is none of {', '.join(_PLACED)}")
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
