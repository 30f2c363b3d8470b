r"""Variational bounds of a state's likelihood under a reverse process, for every linear SDE.

Both functions estimate ``CE(q(u | z) || p(u)) - H(N(., S))`` for each coordinate: the cross entropy
between the law of the state at the cut-off t_min given z, and the law p in which the reverse
process ends, minus the entropy of the former. They differ in the reverse process: the SDE in
continuous time, or the ancestral chain on a grid, whose steps are Gaussian (Ho et al. 2020; Kingma
et al. 2021, eq. 14).
"""

import torch
from torch import Tensor

from sgmkit.noise import Noise
from sgmkit.processes import (
    TimeSampler,
    control_variate,
    prior_divergence,
    weight_matrix,
    weighted_square,
)
from sgmkit.solvers import Reverse


def diffusion_excess(
    rev: Reverse, z: Tensor, noise: Noise, times: TimeSampler, stratum: tuple[int, int] = (0, 1)
) -> Tensor:
    """The bound in continuous time: an unbiased estimate from one t for each row.

    ``1/2 e^T W e / density(t) - control variate + KL(q(u_T | z) || prior)``, with the error e of
    the driven noise and the likelihood weight W. The mean over all ``count`` strata is unbiased
    too, and has less variance than the mean over as many independent draws.

    Args:
        rev: the reverse process for the rows of z; it is called once.
        z: the data of the process, ``(B, *event)``.
        noise: draws from its streams "time" and "diffusion".
        times: the law of t, between the cut-off and the horizon.
        stratum: ``(number, count)``: draw t from this one of ``count`` equal shares of its law.

    Returns:
        ``(B, *event)``, in nats.
    """
    sde, (number, count) = rev.sde, stratum
    uniform = noise.stream("time").uniform(torch.empty(len(z), dtype=torch.float64))
    t, density = times.draw((number + uniform) / count)
    kernel = sde.kernel(t)
    eps = noise.stream("diffusion")(z.new_empty(len(z), sde.phases, *z.shape[1:]))
    u = kernel.perturb(z, eps)
    weight = weight_matrix(sde, t, kernel, "likelihood") / density[:, None, None]
    control = control_variate(sde, kernel, weight, z, u, eps, times.t_min)
    error = eps[:, -sde.driven :] - rev.eps(u, t)
    return weighted_square(weight, error) - control + prior_divergence(sde, z)


def chain_excess(rev: Reverse, z: Tensor, noise: Noise, grid: Tensor) -> Tensor:
    """The bound of the ancestral chain on a grid: an unbiased estimate.

    A step from t to s uses the posterior mean in place of z, which costs
    ``1/2 (|rho_s|^2 - |rho_t|^2) (z - E[z | u_t])^2`` nats under any process: the step adds
    ``|rho_s|^2 - |rho_t|^2`` to the precision with which the state determines z.

    Args:
        rev: the reverse process for the rows of z; it is called once for each step.
        z: the data of the process, ``(B, *event)``.
        noise: is drawn from once for each step.
        grid: decreasing times that end at the cut-off, ``(steps + 1,)`` float64.

    Returns:
        ``(B, *event)``, in nats.
    """
    sde, total = rev.sde, prior_divergence(rev.sde, z)
    kernels = [sde.kernel(t) for t in grid]
    for t, now, after in zip(grid, kernels, kernels[1:], strict=False):
        u = now.perturb(z, noise(z.new_empty(len(z), sde.phases, *z.shape[1:])))
        gain = 0.5 * float(after.snr - now.snr)
        total = total + gain * (z - rev.denoise(u, t)).square()
    return total
