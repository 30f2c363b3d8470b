"""Weightings of the training loss: how much an error of the noise prediction costs at each time.

An error ``e = eps_d - eps_theta`` of the driven noise costs ``1/2 e^T W(t) e`` for each coordinate,
with an r x r matrix W that the weighting chooses.
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
"""Weightings of the loss; see `weight_matrix`."""

P_MEAN, P_STD = -1.2, 1.2
"""Mean and standard deviation of log sigma in EDM's training (Karras et al. 2022, table 1)."""
SIGMA_DATA = 0.5
"""Standard deviation of the data in EDM (Karras et al. 2022, table 1)."""


def weight_matrix(
    sde: LinearSDE,
    t: Tensor,
    kernel: Kernel,
    weighting: Weighting,
    sigma_data: float = SIGMA_DATA,
) -> Tensor:
    """W of the loss ``1/2 e^T W e``, ``(*t, r, r)``; see `weighted_error`.

    - ``likelihood``: ``L_dd^{-1} D_dd L_dd^{-T}``, for which the loss integrated over t bounds
      -log p (Song et al. 2021b, thm 1);
    - ``reweighted``: ``D_dd``;
    - ``unweighted``: ``2 I``, so that the loss is ``|e|^2``;
    - ``edm``: the weight of Karras et al. 2022 for data of standard deviation ``sigma_data``, times
      the density of t that follows from their distribution of noise levels.

    Args:
        kernel: of the process at t.

    Raises:
        BadValue: for an unknown weighting.
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
    """EDM's weight of ``|e|^2``, times the density of t in EDM's training, ``(*t)``.

    EDM weighs the squared error of x by ``lambda = (sigma^2 + sd^2) / (sigma sd)^2`` and draws
    ``log sigma ~ N(P_MEAN, P_STD^2)``, where ``sigma = 1 / |rho|``. An error e of the noise is an
    error ``|e| / |a_d|`` of x, and so weighs ``1 + 1 / (sd |a_d|)^2``.
    """
    a = kernel.rho[..., -sde.driven :, None]
    power = a.square().sum((-2, -1)).clamp_min(torch.finfo(a.dtype).tiny)
    rate = -0.5 * log_snr_rate(sde, t, kernel)  # d log sigma / dt; it vanishes where |a_d| does
    deviation = (-0.5 * kernel.snr.log() - P_MEAN) / P_STD  # of log sigma from its mean
    density = torch.exp(-0.5 * deviation.square()) / (P_STD * math.sqrt(2 * math.pi))
    return (1 + 1 / (sigma_data**2 * power)) * density * rate


def weighted_square(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 e^T W e`` of each coordinate, ``(B, *event)``; see `weighted_error`."""
    return 0.5 * (error * act_on_phases(weight.to(error), error)).sum(1)


def weighted_error(weight: Tensor, error: Tensor) -> Tensor:
    """``1/2 e^T W e`` summed over the coordinates, ``(B,)``; nats for the likelihood weighting.

    Args:
        weight: W, ``(B, r, r)`` or ``(r, r)``.
        error: e, the noise less its prediction, ``(B, r, *event)``.
    """
    return weighted_square(weight, error).flatten(1).sum(1)
