r"""What a network is asked for, and the noise that its answer stands for.

The driven channels ``w_d = L^{-1}_d u = a x + eps_d`` tie noise and data together exactly, so that
a network may predict either, or a mixture that stays of unit size at every noise level. Each
answer becomes noise by ``eps_d = first u + second answer`` with small matrices; what else a model
adds to the noise, a Normal part for one, is added there.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes.matrices import triangular_inverse
from sgmkit.processes.score import normal_noise_operator
from sgmkit.processes.sde import Kernel
from sgmkit.processes.weighting import SIGMA_DATA

Prediction = Literal["noise", "v", "x", "edm", "residual", "R"]


def noise_operators(
    kernel: Kernel,
    driven: int,
    prediction: Prediction,
    sigma_data: float = SIGMA_DATA,
    data_var: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""``eps_d = first u + second answer``: operators ``(*t, r, k)`` and ``(*t, r, answers)``.

    ``noise``: the answer is eps_d, for any r. v, x and edm need r = 1, a channel ``w = a x + eps``.
    ``x``: the answer is the data. ``v``: ``c eps - s x`` with ``c = a s``,
    ``s = 1 / sqrt(1 + a^2)`` (Salimans & Ho 2022, app. D). ``edm``: Karras et al. 2022, table 1,
    with ``sigma = 1 / a``: ``x = (sd^2 a w + sd sqrt(1 + sd^2 a^2) answer) / (1 + sd^2 a^2)``.
    a may have any sign, and be zero. ``residual``, for any r, is one answer for all phases: the
    data less their mean given u, were they N(0, data_var), over their variance then, times the
    standard deviation of all. It is zero for a Normal, and smooth data keep it bounded at every
    noise level, for it is a difference of scores. ``R`` is the noise of all phases: see
    `whole_noise_operator`.

    Raises:
        BadValue: for a prediction that is none of these, or that needs r = 1.
    """
    if prediction not in get_args(Prediction):
        raise BadValue(f"prediction {prediction!r} is none of {', '.join(get_args(Prediction))}")
    t, k = kernel.chol.shape[:-2], kernel.chol.shape[-1]
    if prediction == "noise":
        unit = torch.eye(driven).to(kernel.chol).expand(*t, driven, driven)
        return kernel.chol.new_zeros(*t, driven, k), unit
    if prediction == "R":
        raise BadValue("prediction 'R' is of all phases: see whole_noise_operator")
    if prediction == "residual":
        unit = math.sqrt(data_var) / (1 + data_var * kernel.snr)[..., None, None]
        carried = kernel.rho[..., -driven:, None]
        return normal_noise_operator(kernel, driven, data_var), -carried * unit
    if driven > 1:
        raise BadValue(f"prediction {prediction!r} needs one driven phase, not {driven}; use noise")
    white, a = kernel.whiten[..., -1:, :], kernel.rho[..., -1:, None]
    if prediction == "x":
        return white, -a
    width = sigma_data if prediction == "edm" else 1.0
    power = 1 + (width * a).square()
    gain = width * a / power.sqrt()
    return white / power, gain if prediction == "v" else -gain


def whole_noise_operator(kernel: Kernel, factor: Tensor, driven: int) -> Tensor:
    """``eps_d = L_dd^T (R^{-T} answer)_d``: the driven noise of a whole one, ``(*t, r, k)``.

    The answer of prediction ``R`` (gDDIM, Zhang, Tao & Chen 2023, sec. 4): the noise of all phases
    in the frame that the flow carries, score ``-R^{-T}`` of it.

    Args:
        factor: R, ``(*t, k, k)``; see `sgmkit.processes.gddim.flow_factor`.
    """
    back = torch.linalg.inv(factor).mT[..., -driven:, :]
    return kernel.chol[..., -driven:, -driven:].mT @ back


def rescale_operator(source: Tensor, target: Tensor, driven: int) -> Tensor:
    """``T_dd^T S_dd^{-T} (*t, r, r)``: noise of a law with factor S as that of one with factor T.

    Both stand for one score, ``-S_dd^{-T} eps = -T_dd^{-T} eps'``. Denoising score matching knows
    the law of u_t given u_0, whose factor is that of `LinearSDE.kernel_from`.
    """
    inverse = triangular_inverse(source[..., -driven:, -driven:])
    return (inverse @ target[..., -driven:, -driven:]).mT


def input_scale(kernel: Kernel, data_var: float) -> Tensor:
    """What brings each phase to unit variance if the data are N(0, data_var), ``(*t, k)``.

    ``1 / sqrt(diag(S_t + c m m^T))``: with EDM's ``c = sd^2`` its ``c_in``.
    """
    spread = kernel.cov.diagonal(dim1=-2, dim2=-1)
    return torch.rsqrt(spread + data_var * kernel.mean.square())


def statistic_scale(kernel: Kernel, data_var: float) -> Tensor:
    """What the phases count in ``m^T S^{-1} u``, of unit variance if the data are N(0, data_var).

    All that u_t says of the data given the kernel ``N(m x, S)`` is in this one sum, for every k:
    ``E[x | u_t]`` is a function of it. ``(*t, k)``; `input_scale` but for the sign of m at k = 1.
    """
    snr = kernel.snr[..., None]
    counts = (kernel.whiten.mT @ kernel.rho[..., None])[..., 0]
    return counts * torch.rsqrt(snr + data_var * snr.square())


def noise_label(kernel: Kernel) -> Tensor:
    """EDM's ``c_noise = log(sigma) / 4`` with ``sigma = 1 / |rho|``, ``(*t)``."""
    return -kernel.snr.log() / 8
