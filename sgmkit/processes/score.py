r"""Parameterisations, losses and time sampling: everything in terms of the driven noise.

For every linear SDE ``w = L^{-1} u = rho x + eps`` exactly. The network's common language is the
driven part ``eps_d (B, r, *event)``; the score is ``-L_dd^{-T} eps_d``, the posterior mean of the
data follows from the driven channels ``w_d = a_d x + eps_d`` alone, and nothing divides by a
single ``a``, which is negative for CLD and crosses zero for underdamped third-order processes.

The small matrices here act on the phase axis: see `sgmkit.processes.act_on_phases`.
"""

import torch
from torch import Tensor

from sgmkit.processes.sde import Kernel, LinearSDE

WEAK = 1e-3
"""Share of the SNR below which the driven channels do not determine the data well."""


def driven_factor(kernel: Kernel, driven: int) -> Tensor:
    """``L_dd (*t, r, r)``, the trailing block of the Cholesky factor."""
    return kernel.chol[..., -driven:, -driven:]


def score_operator(kernel: Kernel, driven: int) -> Tensor:
    """``-L_dd^{-T} (*t, r, r)``: noise to score, ``score_d = -L_dd^{-T} eps_d``."""
    return -kernel.whiten[..., -driven:, -driven:].mT


def flow_operators(sde: LinearSDE, t: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """``du/dt = first u + second eps_d`` of the probability flow at ``t``, with the kernel there.

    Operators ``F``, ``(*t, k, k)``, and ``-1/2 D s``, ``(*t, k, r)`` (Song et al. 2021, eq. 13).
    The reverse SDE has the drift ``first u + 2 second eps_d``.
    """
    r = sde.driven
    return sde.drift(t), -sde.diffusion(t)[..., -r:] @ score_operator(kernel, r) / 2


def denoise_operators(kernel: Kernel, driven: int, data_var: float) -> tuple[Tensor, Tensor]:
    """``E[x | u] = first u + second eps_d``: operators ``(*t, 1, k)`` and ``(*t, 1, r)``.

    From the driven channels, ``x = a_d . (w_d - eps_d) / |a_d|^2``; where they carry less than
    `WEAK` of the SNR, from the undriven ones, whose noise is then white given the data:
    ``x = rho_u . w_u / (|rho_u|^2 + 1/c)`` for data of variance c.
    """
    lead, tail = kernel.rho[..., :-driven], kernel.rho[..., -driven:]
    strength = tail.square().sum(-1, keepdim=True)
    weak = strength <= WEAK * kernel.snr[..., None]
    gain = tail / torch.where(weak, 1.0, strength)
    from_tail = (gain[..., None, :] @ kernel.whiten[..., -driven:, :], -gain[..., None, :])
    gain_u = lead / (lead.square().sum(-1, keepdim=True) + 1 / data_var)
    from_lead = gain_u[..., None, :] @ kernel.whiten[..., :-driven, :]
    weak = weak[..., None]
    first = torch.where(weak, from_lead, from_tail[0])
    return first, torch.where(weak, 0.0, from_tail[1])


def full_score_operators(kernel: Kernel, driven: int, data_var: float) -> tuple[Tensor, Tensor]:
    """Score of all phases, ``first u + second eps_d``: ``(*t, k, k)`` and ``(*t, k, r)``.

    ``s = -S_t^{-1} (u - m_t E[x | u])``: the undriven phases' follows from the predicted data.
    """
    inverse = -kernel.whiten.mT
    if kernel.mean.shape[-1] == driven == 1:
        return torch.zeros_like(inverse), inverse
    first, second = denoise_operators(kernel, driven, data_var)
    rho = kernel.rho[..., None]
    return inverse @ (kernel.whiten - rho @ first), -inverse @ rho @ second


def normal_noise_operator(kernel: Kernel, driven: int, data_var: float) -> Tensor:
    r"""eps_d of data that is N(0, c) exactly, as an operator on u, ``(*t, r, k)``.

    The fixed part of LSGM's mixed score (Vahdat et al. 2021, sec. 3.2), for every linear SDE:
    ``L_dd^T (Sb^{-1} u)_d`` with ``Sb = S_t + c m_t m_t^T``, which is well conditioned.
    """
    total = kernel.cov + data_var * kernel.mean[..., :, None] * kernel.mean[..., None, :]
    return driven_factor(kernel, driven).mT @ torch.linalg.inv(total)[..., -driven:, :]


def velocity_noise_operator(kernel: Kernel, driven: int) -> Tensor:
    """The CLD paper's fixed part, ``L_vv v / S_vv``, as an operator on u, ``(*t, r, k)``.

    Dockhorn et al. 2022, sec. 3.2; it takes the driven phases for independent of the others.
    """
    block = kernel.cov[..., -driven:, -driven:]
    gain = driven_factor(kernel, driven).mT @ torch.linalg.inv(block)
    return torch.cat([gain.new_zeros(*gain.shape[:-1], kernel.mean.shape[-1] - driven), gain], -1)


def mix_noise(fixed: Tensor, network: Tensor, logit: Tensor) -> Tensor:
    """LSGM's mixed score in terms of noise: ``(1 - a) fixed + a network``, ``a = sigmoid(logit)``.

    Args:
        fixed: noise of the Normal part, ``(B, r, *event)``.
        network: what the network says, ``(B, r, *event)``.
        logit: broadcasts against them; learnable, usually one for each channel.
    """
    network = network.to(fixed)  # under autocast the network speaks bfloat16
    return torch.lerp(fixed, network, torch.sigmoid(logit).to(fixed))
