r"""The cross entropy of a latent under a score-based prior: its terms that are closed forms.

The prior of a latent model is a process that ends at a cut-off t_min > 0, so that its samples are
the states u at t_min; m, S and rho without an index are the kernel's there. The cross entropy of u
given a latent z is bounded by (equality for an exact score)

    CE(q(u | z) || p(u)) <= H(N(., S)) + E_t[1/2 e^T W e / r(t)] + KL(N(m_T z, S_T) || prior)

over all phases and coordinates, with kernels given z, e the error of the noise prediction, W the
likelihood weighting and r the density of t. This is LSGM's theorem 1 (Vahdat et al. 2021; k = 1,
without the last term) for every linear SDE.

An encoder ``N(mu, s^2)`` makes u Normal with covariance ``S + s^2 m m^T``, whose entropy is
``H(N(., S)) + 1/2 log(1 + s^2 |rho|^2)``. In the divergence of the encoder from the prior the large
terms ``H(N(., S))`` cancel, and are not computed.
"""

import math

import torch
from torch import Tensor

from sgmkit.processes.matrices import act_on_phases
from sgmkit.processes.score import normal_noise_operator
from sgmkit.processes.sde import Kernel, LinearSDE
from sgmkit.processes.weighting import weighted_square


def kernel_entropy(kernel: Kernel) -> Tensor:
    """Entropy ``H(N(., S_t))`` of the k phases of one coordinate, ``(*t)``, in nats."""
    k = kernel.mean.shape[-1]
    volume = kernel.chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return volume + 0.5 * k * (1 + math.log(2 * math.pi))


def mutual_information(kernel: Kernel, std: Tensor) -> Tensor:
    """``1/2 log(1 + s^2 |rho|^2)``: what u_t tells about data N(., s^2), in nats.

    It is the entropy of u_t less that of u_t given the data.

    Args:
        kernel: at one time.
        std: s, of any shape; the result has its shape and is differentiable in it.
    """
    return 0.5 * torch.log1p(float(kernel.snr) * std.square())


def prior_divergence(sde: LinearSDE, z: Tensor) -> Tensor:
    """``KL(N(m_T z, S_T) || N(0, prior_cov))`` of each coordinate, in nats, like z.

    The divergence of the state at the horizon from the prior; differentiable in z.
    """
    kernel = sde.kernel(torch.tensor(sde.horizon, dtype=torch.float64))
    factor = torch.linalg.cholesky(sde.prior_cov())
    spread = torch.linalg.solve_triangular(factor, kernel.chol, upper=False)
    mean = torch.linalg.solve_triangular(factor, kernel.mean[:, None], upper=False)
    # 1/2 (tr P^-1 S_T - k) - 1/2 log det(P^-1 S_T), and 1/2 z^2 m_T^T P^-1 m_T, P = prior_cov
    fixed = 0.5 * (spread.square().sum() - sde.phases) - spread.diagonal().log().sum()
    return float(fixed) + 0.5 * float(mean.square().sum()) * z.square()


def normal_excess(kernel: Kernel, var: float, z: Tensor) -> Tensor:
    """``KL(N(m z, S) || N(0, S + c m m^T))`` of each coordinate, in nats, like z.

    ``1/2 log(1 + c snr) - 1/2 c snr / (1 + c snr) + 1/2 z^2 snr / (1 + c snr)``: the cross entropy
    of the state given z, less its entropy, under a prior whose data are N(0, c). Differentiable.

    Args:
        kernel: at one time.
        var: c.
        z: of any shape.
    """
    power = float(var * kernel.snr)
    share = power / (1 + power)
    return 0.5 * (math.log1p(power) - share) + 0.5 * share / var * z.square()


def control_variate(
    sde: LinearSDE, kernel: Kernel, weight: Tensor, z: Tensor, u: Tensor, eps: Tensor, t_min: float
) -> Tensor:
    """A control variate of the score term of the cross entropy: like z, of mean zero.

    It is the score term under the score of data N(0, c), with the same times and noise, less its
    mean, which is a closed form. The estimate of the cross entropy with the learned score has
    nearly all of its variance in common with it: subtracting this leaves the mean as it is, and
    only the variance due to what the prior has learned beyond a Normal, in value and gradient.

    Args:
        kernel: at times ``(B,)``.
        weight: the likelihood weighting over the density of these times, ``(B, r, r)``.
        z: ``(B, *event)``; differentiable.
        u: the states perturbed from z at these times, ``(B, k, *event)``.
        eps: the noise in these states, ``(B, k, *event)``.
        t_min: the smallest time.
    """
    var = sde.data_var()
    gain = normal_noise_operator(kernel, sde.driven, var).to(u)
    drawn = weighted_square(weight, eps[:, -sde.driven :] - act_on_phases(gain, u))
    # The mean is the difference of KL(N(m z, S) || N(0, S + c m m^T)) at t_min and at T.
    first, last = (
        normal_excess(sde.kernel(torch.tensor(t, dtype=torch.float64)), var, z)
        for t in (t_min, sde.horizon)
    )
    return drawn - first + last
