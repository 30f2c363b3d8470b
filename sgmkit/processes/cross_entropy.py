r"""What a state at the cut-off knows of the data, and what the horizon has forgotten: closed forms.

A latent model's latent is the state u_e at the cut-off e. Its cross entropy to a prior that ends
in N(0, prior_cov) is, for scores that are exact (else a bound), with kernels given z:

    CE(q(u_e) || p(u_e)) = H(N(., S_e)) + E_t[1/2 e^T W e / r(t)] + KL(N(m_T z, S_T) || prior)

over all phases and coordinates, for every linear SDE (LSGM, Vahdat et al. 2021, theorem 1, is k = 1
without the last term). A Gaussian encoder ``N(mu, s^2)`` makes ``u_e`` Normal with covariance
``S_e + s^2 m_e m_e^T``, of entropy ``H(N(., S_e)) + 1/2 log(1 + s^2 |rho_e|^2)``: the large and
equal parts cancel in the divergence, and are never computed there.
"""

import math

import torch
from torch import Tensor

from sgmkit.processes.matrices import act_on_phases
from sgmkit.processes.score import normal_noise_operator
from sgmkit.processes.sde import Kernel, LinearSDE
from sgmkit.processes.weighting import weighted_square


def kernel_entropy(kernel: Kernel) -> Tensor:
    """``H(N(., S_t))`` of one coordinate's k phases, nats, ``(*t)``."""
    k = kernel.mean.shape[-1]
    volume = kernel.chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return volume + 0.5 * k * (1 + math.log(2 * math.pi))


def mutual_information(kernel: Kernel, std: Tensor) -> Tensor:
    """``1/2 log(1 + s^2 |rho|^2)``: entropy that a spread s of the data adds to u, nats.

    Args:
        kernel: at one time.
        std: s, of any shape; differentiable.
    """
    return 0.5 * torch.log1p(float(kernel.snr) * std.square())


def prior_divergence(sde: LinearSDE, z: Tensor) -> Tensor:
    """``KL(N(m_T z, S_T) || N(0, prior_cov))`` by coordinate, nats, like z; differentiable."""
    kernel = sde.kernel(torch.tensor(sde.horizon, dtype=torch.float64))
    factor = torch.linalg.cholesky(sde.prior_cov())
    spread = torch.linalg.solve_triangular(factor, kernel.chol, upper=False)
    mean = torch.linalg.solve_triangular(factor, kernel.mean[:, None], upper=False)
    fixed = 0.5 * (spread.square().sum() - sde.phases) - spread.diagonal().log().sum()
    return float(fixed) + 0.5 * float(mean.square().sum()) * z.square()


def normal_excess(kernel: Kernel, var: float, z: Tensor) -> Tensor:
    """What z costs more than noise, were the prior's data N(0, var): nats, like z; differentiable.

    ``1/2 log(1 + c snr) - 1/2 c snr / (1 + c snr) + 1/2 z^2 snr / (1 + c snr)``: the divergence of
    N(m z, S) from N(0, S + c m m^T).

    Args:
        kernel: at one time.
    """
    power = float(var * kernel.snr)
    share = power / (1 + power)
    return 0.5 * (math.log1p(power) - share) + 0.5 * share / var * z.square()


def control_variate(
    sde: LinearSDE, kernel: Kernel, weight: Tensor, z: Tensor, u: Tensor, eps: Tensor, t_min: float
) -> Tensor:
    """What Normal data would cost by one draw, less its mean: like z, differentiable.

    An estimate of the cross entropy has nearly all of its noise in common with that of a Normal
    prior, whose mean is known: less this it keeps its mean, and only what the prior knows beyond a
    Normal is left to chance, in its value and in its gradient.

    Args:
        kernel: at times ``(B,)``.
        weight: likelihood weights over the density of these times, ``(B, r, r)``.
        z: ``(B, *event)``.
        u: the states of z there, ``(B, k, *event)``.
        eps: that they were made with.
        t_min: where times begin.
    """
    var = sde.data_var()
    gain = normal_noise_operator(kernel, sde.driven, var).to(u)
    drawn = weighted_square(weight, eps[:, -sde.driven :] - act_on_phases(gain, u))
    first, last = (
        normal_excess(sde.kernel(torch.tensor(t, dtype=torch.float64)), var, z)
        for t in (t_min, sde.horizon)
    )
    return drawn - first + last
