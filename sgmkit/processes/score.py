r"""Score, posterior mean, velocity and drift as linear functions of a state and its noise.

A state of the kernel ``N(m_t x, L L^T)`` is ``u = m_t x + L eps``, or, whitened,
``w = L^{-1} u = rho x + eps``. A model predicts the driven noise ``eps_d (B, r, *event)``, the last
r phases of eps; all else follows from it. The score is ``-L_dd^{-T} eps_d``, and the posterior mean
of the data follows from the driven phases ``w_d = a_d x + eps_d``, where ``a_d`` are the last r
entries of rho. Nothing here divides by a single entry of ``a_d``: for CLD it is negative, and for
underdamped third-order processes it crosses zero.

Each function returns small matrices for the phase axis, to be used with
`sgmkit.processes.act_on_phases` or `sgmkit.processes.operators_by_time`.
"""

import torch
from torch import Tensor

from sgmkit.processes.sde import Kernel, LinearSDE

WEAK = 1e-3
"""Share of the SNR below which the data are not computed from the driven phases."""


def driven_factor(kernel: Kernel, driven: int) -> Tensor:
    """``L_dd (*t, r, r)``, the trailing block of the Cholesky factor."""
    return kernel.chol[..., -driven:, -driven:]


def score_operator(kernel: Kernel, driven: int) -> Tensor:
    """The matrix of ``score_d = -L_dd^{-T} eps_d``, ``(*t, r, r)``."""
    return -kernel.whiten[..., -driven:, -driven:].mT


def flow_operators(sde: LinearSDE, t: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Velocity of the probability flow, ``du/dt = F u - 1/2 D score = first u + second eps_d``.

    Song et al. 2021, eq. 13. In forward time the reverse SDE has the drift
    ``first u + 2 second eps_d``; `Reverse.drift` is its negative, per unit of decreasing time.

    Args:
        kernel: of the process at t.

    Returns:
        ``(*t, k, k)`` and ``(*t, k, r)``.
    """
    r = sde.driven  # first = F, second = 1/2 D L_dd^{-T}
    return sde.drift(t), -sde.diffusion(t)[..., -r:] @ score_operator(kernel, r) / 2


def denoise_operators(kernel: Kernel, driven: int, data_var: float) -> tuple[Tensor, Tensor]:
    """Posterior mean of the data, ``E[x | u] = first u + second eps_d``.

    From the driven phases, ``x = a_d . (w_d - eps_d) / |a_d|^2``. Where these carry less than
    `WEAK` of the SNR, from the undriven phases ``w_u = rho_u x + eps_u``, assuming that
    the data are N(0, c): ``x = rho_u . w_u / (|rho_u|^2 + 1/c)``.

    Args:
        data_var: c, the variance of the data.

    Returns:
        ``(*t, 1, k)`` and ``(*t, 1, r)``.
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

    ``score = -S_t^{-1} (u - m_t E[x | u])`` with the posterior mean of `denoise_operators`.
    """
    inverse = -kernel.whiten.mT
    if kernel.mean.shape[-1] == driven == 1:
        return torch.zeros_like(inverse), inverse
    first, second = denoise_operators(kernel, driven, data_var)
    rho = kernel.rho[..., None]
    # S^{-1} = L^{-T} L^{-1}, so that the score is -L^{-T} (w - rho E[x | u]).
    return inverse @ (kernel.whiten - rho @ first), -inverse @ rho @ second


def normal_noise_operator(kernel: Kernel, driven: int, data_var: float) -> Tensor:
    r"""The matrix of ``E[eps_d | u]`` on u if the data are N(0, c), ``(*t, r, k)``.

    ``E[eps_d | u] = L_dd^T (Sb^{-1} u)_d`` with ``Sb = S_t + c m_t m_t^T``, which is well
    conditioned: the fixed part of LSGM's mixed score (Vahdat et al. 2021, sec. 3.2), for every
    linear SDE.
    """
    total = kernel.cov + data_var * kernel.mean[..., :, None] * kernel.mean[..., None, :]
    return driven_factor(kernel, driven).mT @ torch.linalg.inv(total)[..., -driven:, :]


def velocity_noise_operator(kernel: Kernel, driven: int) -> Tensor:
    """The matrix of ``L_vv^T S_vv^{-1} v`` on u, ``(*t, r, k)``, with v the driven phases.

    The fixed part of the CLD paper's mixed score (Dockhorn et al. 2022, sec. 3.2): what the noise
    would be if v were independent of the other phases.
    """
    block = kernel.cov[..., -driven:, -driven:]
    gain = driven_factor(kernel, driven).mT @ torch.linalg.inv(block)
    return torch.cat([gain.new_zeros(*gain.shape[:-1], kernel.mean.shape[-1] - driven), gain], -1)


def mix_noise(fixed: Tensor, network: Tensor, logit: Tensor) -> Tensor:
    """LSGM's mixed score in terms of noise: ``(1 - a) fixed + a network``, ``a = sigmoid(logit)``.

    Args:
        fixed: noise if the data were Normal, ``(B, r, *event)``; see `normal_noise_operator`.
        network: noise predicted by the network, ``(B, r, *event)``.
        logit: broadcasts against them; learnable, usually one for each channel.
    """
    network = network.to(fixed)  # under autocast the network's answer is bfloat16
    return torch.lerp(fixed, network, torch.sigmoid(logit).to(fixed))
