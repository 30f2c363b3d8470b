r"""Variational bounds of a state's likelihood under a reverse process, for every linear SDE.

Both are estimates of one number, ``CE(q(u_e | z) || p(u_e)) - H(N(., S_e))`` by coordinate: the
cross entropy of the state at the cut-off e, given data z, to what the reverse process ends in, less
the entropy of that state. They differ in which process p is: the reverse SDE, or the ancestral
chain on a grid, whose steps are Gaussian (Ho et al. 2020; Kingma et al. 2021, eq. 14).
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
    """The bound in continuous time, at one t for each row: ``(B, *event)`` nats, unbiased.

    The mean over all ``count`` strata is unbiased too, and of less variance than as many
    independent draws.

    Args:
        rev: the reverse process, over the rows of z; one network call.
        z: ``(B, *event)``.
        noise: streams "time" and "diffusion" are drawn from.
        times: the law of t, from the cut-off on.
        stratum: ``(number, count)``: which of ``count`` equal shares of that law to draw t from.
    """
    sde, (number, count) = rev.sde, stratum
    uniform = noise.stream("time").uniform(torch.empty(len(z), dtype=torch.float64))
    t, density = times.draw((number + uniform) / count)
    kernel = sde.kernel(t)
    eps = noise.stream("diffusion")(z.new_empty(len(z), sde.phases, *z.shape[1:]))
    u = kernel.perturb(z, eps)
    weight = weight_matrix(sde, t, kernel, "likelihood") / density[:, None, None]
    chance = control_variate(sde, kernel, weight, z, u, eps, times.t_min)
    error = eps[:, -sde.driven :] - rev.eps(u, t)
    return weighted_square(weight, error) - chance + prior_divergence(sde, z)


def chain_excess(rev: Reverse, z: Tensor, noise: Noise, grid: Tensor) -> Tensor:
    """The bound of the ancestral chain on a grid: ``(B, *event)`` nats, unbiased.

    A step from t to s that replaces z by the posterior mean costs
    ``1/2 (|rho_s|^2 - |rho_t|^2) (z - E[z | u_t])^2`` nats, whatever the process: precisions about
    z add up along the chain.

    Args:
        rev: the reverse process, over the rows of z; a network call for each step.
        z: ``(B, *event)``.
        noise: one draw for each step.
        grid: decreasing times to the cut-off, ``(steps + 1,)`` float64.
    """
    sde, total = rev.sde, prior_divergence(rev.sde, z)
    kernels = [sde.kernel(t) for t in grid]
    for t, now, then in zip(grid, kernels, kernels[1:], strict=False):
        u = now.perturb(z, noise(z.new_empty(len(z), sde.phases, *z.shape[1:])))
        gain = 0.5 * float(then.snr - now.snr)
        total = total + gain * (z - rev.denoise(u, t)).square()
    return total
