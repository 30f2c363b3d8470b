"""Loss weights: how much an error of the predicted noise counts at each time, as r x r matrices.

An error ``e = eps_d - eps_theta`` of the driven noise costs ``1/2 e^T W(t) e``. The matrix W is the
choice of a weighting: maximum likelihood, the SDE's own noise, none, or EDM's.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.matrices import act_on_phases
from sgmkit.processes.sde import Kernel, LinearSDE
from sgmkit.processes.snr import log_snr_rate, whitened_diffusion

Weighting = Literal["likelihood", "reweighted", "unweighted", "edm"]

P_MEAN, P_STD = -1.2, 1.2
"""EDM's law of log sigma in training (Karras et al. 2022, table 1)."""
SIGMA_DATA = 0.5
"""The data's standard deviation as EDM assumes it."""


def weight_matrix(
    sde: LinearSDE,
    t: Tensor,
    kernel: Kernel,
    weighting: Weighting,
    sigma_data: float = SIGMA_DATA,
) -> Tensor:
    """W of the loss ``1/2 e^T W e`` per coordinate, ``(*t, r, r)``; see `weighted_error`.

    ``likelihood``: ``L_dd^{-1} D_dd L_dd^{-T}``, which bounds -log p (Song et al. 2021b, thm 1);
    ``reweighted``: ``D_dd``; ``unweighted``: twice the identity, so that the loss is ``|e|^2``;
    ``edm``: Karras et al. 2022 for data of standard deviation ``sigma_data``, their law of noise
    levels included.
    """
    r = sde.driven
    if weighting in ("unweighted", "edm"):
        twice = 2 * torch.eye(r, dtype=t.dtype, device=t.device).expand(*t.shape, r, r)
        if weighting == "unweighted":
            return twice
        return twice * _edm_weight(sde, t, kernel, sigma_data)[..., None, None]
    noise = sde.diffusion(t)[..., -r:, -r:]
    if weighting == "reweighted":
        return noise
    if weighting == "likelihood":
        return whitened_diffusion(sde, t, kernel)
    raise BadValue(f"weighting {weighting!r} is none of {', '.join(get_args(Weighting))}")


def _edm_weight(sde: LinearSDE, t: Tensor, kernel: Kernel, sigma_data: float) -> Tensor:
    """``lambda(sigma) sigma^2`` times the density of t that EDM trains with, ``(*t)``.

    ``1/sigma = |rho|``, and log sigma is drawn from ``N(P_MEAN, P_STD^2)``; the error of x is
    ``|e| / |a_d|``, so that ``lambda = (sigma^2 + sd^2) / (sigma sd)^2`` leaves ``1 + 1/(sd a)^2``.
    """
    a = kernel.rho[..., -sde.driven :, None]
    power = a.square().sum((-2, -1)).clamp_min(torch.finfo(a.dtype).tiny)
    rate = -0.5 * log_snr_rate(sde, t, kernel)  # d log sigma / dt, which vanishes as |a|^2 does
    place = (-0.5 * kernel.snr.log() - P_MEAN) / P_STD
    density = torch.exp(-0.5 * place.square()) / (P_STD * math.sqrt(2 * math.pi))
    return (1 + 1 / (sigma_data**2 * power)) * density * rate


def weighted_square(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 e^T W e`` by coordinate, ``(B, *event)``; see `weighted_error`."""
    return 0.5 * (error * act_on_phases(weight.to(error), error)).sum(1)


def weighted_error(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 sum e^T W e`` over all coordinates, ``(B,)``, in nats for the likelihood weighting.

    Args:
        weight: W, ``(B, r, r)`` or ``(r, r)``.
        error: ``eps_d - eps_theta``, ``(B, r, *event)``.
    """
    return weighted_square(weight, error).flatten(1).sum(1)
