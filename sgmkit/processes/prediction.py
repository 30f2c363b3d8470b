r"""Parameterisations: the target that a network predicts, and the noise that follows from it.

The whitened driven phases ``w_d = (L^{-1} u)_d = a x + eps_d`` tie noise and data together, so that
a network may predict either, or a mixture that has unit size at every noise level. Whatever the
target, the noise prediction is ``eps_d = first u + second answer`` with small matrices, where
``answer`` is the output of the network.
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
"""Targets that a network may predict; see `noise_operators`."""


def noise_operators(
    kernel: Kernel,
    driven: int,
    prediction: Prediction,
    sigma_data: float = SIGMA_DATA,
    data_var: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""The matrices of ``eps_d = first u + second answer`` for the network's output ``answer``.

    With ``w = a x + eps`` the whitened driven phases, a of any sign or zero, the target is

    - ``noise``: eps_d;
    - ``x``: the data; ``eps = w - a x``;
    - ``v``: ``c eps - s x`` with ``c = a s`` and ``s = 1 / sqrt(1 + a^2)`` (Salimans & Ho 2022,
      app. D); ``eps = w / (1 + a^2) + c answer``;
    - ``edm``: F of Karras et al. 2022, table 1, with ``sigma = 1 / a`` and sd = ``sigma_data``:
      ``x = (sd^2 a w + sd sqrt(1 + sd^2 a^2) answer) / (1 + sd^2 a^2)`` and ``eps = w - a x``;
    - ``residual``: ``(x - E[x | u]) / Var[x | u] * sqrt(c)`` with the moments that Normal data
      N(0, c), c = ``data_var``, would have: one output for all phases. It is a difference of
      scores: zero for Normal data, and bounded at every noise level if the data are smooth;
    - ``R``: the noise of all phases, see `whole_noise_operator`.

    ``noise`` and ``residual`` take any number r of driven phases; ``x``, ``v`` and ``edm`` need
    r = 1.

    Returns:
        ``(*t, r, k)`` and ``(*t, r, outputs)``; outputs is r, or 1 for ``residual``.

    Raises:
        BadValue: for an unknown prediction, for ``R``, or for one that needs r = 1.
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
        # eps_d = E[eps_d | u] - a_d (x - E[x | u]), with Var[x | u] = c / (1 + c |rho|^2).
        unit = math.sqrt(data_var) / (1 + data_var * kernel.snr)[..., None, None]
        carried = kernel.rho[..., -driven:, None]
        return normal_noise_operator(kernel, driven, data_var), -carried * unit
    if driven > 1:
        raise BadValue(f"prediction {prediction!r} needs one driven phase, not {driven}; use noise")
    white, a = kernel.whiten[..., -1:, :], kernel.rho[..., -1:, None]
    if prediction == "x":
        return white, -a
    # edm: eps = w / (1 + sd^2 a^2) - sd a / sqrt(1 + sd^2 a^2) answer; v is -answer for sd = 1.
    width = sigma_data if prediction == "edm" else 1.0
    power = 1 + (width * a).square()
    gain = width * a / power.sqrt()
    return white / power, gain if prediction == "v" else -gain


def whole_noise_operator(kernel: Kernel, factor: Tensor, driven: int) -> Tensor:
    """The matrix of ``eps_d = L_dd^T (R^{-T} answer)_d``, ``(*t, r, k)``.

    The answer of prediction ``R`` is the whole noise ``R^{-1} (u - m E[x | u])`` of gDDIM (Zhang,
    Tao & Chen 2023, sec. 4): noise of all phases, of which the score is ``-R^{-T}`` times.

    Args:
        factor: R, ``(*t, k, k)``; see `sgmkit.processes.flow_factor`.
    """
    back = torch.linalg.inv(factor).mT[..., -driven:, :]
    return kernel.chol[..., -driven:, -driven:].mT @ back


def rescale_operator(source: Tensor, target: Tensor, driven: int) -> Tensor:
    """The matrix of ``eps' = T_dd^T S_dd^{-T} eps``, ``(*t, r, r)``: noise of another kernel.

    S and T are Cholesky factors of two kernels, such as u_t given x (`LinearSDE.kernel`) and u_t
    given u_0 (`LinearSDE.kernel_from`, for denoising score matching). Noises eps of the first and
    eps' of the second give the same score, ``-S_dd^{-T} eps = -T_dd^{-T} eps'``.

    Args:
        source: S, ``(*t, k, k)``.
        target: T, ``(*t, k, k)``.
    """
    inverse = triangular_inverse(source[..., -driven:, -driven:])
    return (inverse @ target[..., -driven:, -driven:]).mT


def input_scale(kernel: Kernel, data_var: float) -> Tensor:
    """Factors that bring each phase to unit variance if the data are N(0, c), ``(*t, k)``.

    ``1 / sqrt(diag(S_t + c m m^T))`` with c = ``data_var``; EDM's ``c_in`` for ``c = sd^2``.
    """
    spread = kernel.cov.diagonal(dim1=-2, dim2=-1)
    return torch.rsqrt(spread + data_var * kernel.mean.square())


def statistic_scale(kernel: Kernel, data_var: float) -> Tensor:
    """Coefficients of the phases in the sufficient statistic of the data, ``(*t, k)``.

    The sum ``m^T S^{-1} u`` over phases is a sufficient statistic for x under the kernel
    ``N(m x, S)``: ``E[x | u_t]`` is a function of it alone, for every k. The coefficients give it
    unit variance if the data are N(0, c), c = ``data_var``: they are those of ``m^T S^{-1} u``
    times ``1 / sqrt(|rho|^2 + c |rho|^4)``. For k = 1 this is `input_scale`, but for the sign of m.
    """
    snr = kernel.snr[..., None]
    counts = (kernel.whiten.mT @ kernel.rho[..., None])[..., 0]
    return counts * torch.rsqrt(snr + data_var * snr.square())


def noise_label(kernel: Kernel) -> Tensor:
    """EDM's ``c_noise = log(sigma) / 4`` with ``sigma = 1 / |rho|``, ``(*t)``."""
    return -kernel.snr.log() / 8
