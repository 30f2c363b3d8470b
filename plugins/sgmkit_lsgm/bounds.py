r"""Upper bounds on the negative log-likelihood of an item, each named for what it is.

With the coarsest latents in the state u at the cut-off t_min, and finer latents z_fine, one draw
from the encoder gives

    -log p(x | u, z_fine) + log q(u | x) - log p(u) + log q(z_fine | x) - log N(z_fine; 0, I)

whose mean is the negative ELBO. ``q(u | x)`` is a Normal density in closed form; the prior's
density ``p(u)`` is that of its probability flow, or is bounded. All phases of u count, the
velocity among them. With hierarchical groups q is the product of each group's law given the *clean*
groups before it. Importance weights of several draws still average to the likelihood, because the
laws of the clean groups given the noisy ones integrate to one.
"""

import math
from typing import Any

import torch
from torch import Tensor

from sgmkit import BadValue, Kernel, Latents, Likelihood, Noise
from sgmkit.errors import Incompatible
from sgmkit.likelihoods import (
    FlowOptions,
    chain_excess,
    diffusion_excess,
    flow_likelihood,
    flow_state_likelihood,
)
from sgmkit.models import Bound
from sgmkit.processes import TimeSampler, act_on_phases
from sgmkit_lsgm.divergence import cut_kernel, cut_state, own_entropy
from sgmkit_lsgm.latent_variable import LatentVariableModel


def flow_bound(
    model: LatentVariableModel,
    x: Tensor,
    noise: Noise,
    cut: float,
    draws: int,
    options: FlowOptions,
    y: Tensor | None = None,
) -> Likelihood:
    """The bound in which the prior's density is that of its probability flow.

    One draw gives the negative ELBO (kind ``nelbo-ode``). Several draws give the
    importance-weighted bound (Burda et al. 2016; kind ``iw-ode``),
    ``-log(1/K sum_k exp(-nats_k)) <= mean of nats_k``.

    The flow's trace is estimated with random probes. Their noise, of variance s_k^2 in each
    ``nats_k``, makes the importance-weighted bound too low by about
    ``1/2 sum_k w_k (1 - w_k) s_k^2`` with the normalised weights w. This amount is added back,
    where there are at least two probes to estimate s from.

    Behind a normalising flow of the autoencoder the latent is z_0, taken for the state at the
    cut-off: the result is an estimate of kind ``nelbo-ode-z0``, and several draws are refused.

    Args:
        cut: time of the cut-off, at which the probability flow begins.
        options: how the flow is integrated and its trace estimated.
    """
    kernel, kind = cut_kernel(model.prior, cut), "nelbo-ode"
    values, errors = list[Tensor](), list[Tensor]()
    for number in range(draws):
        source = noise.stream(f"draw-{number}")
        with torch.no_grad():
            code = model.autoencoder.encode(x, source.stream("encode"))
        top, rev = code[0], model.prior.reverse(source, y)
        if top.base is None:
            u, eps = cut_state(kernel, top.z, source.stream("cut"))
            prior = flow_state_likelihood(rev, u, source, cut, options)
            first, log_q = u[:, 0], state_log_q(top, kernel, eps)
        elif draws > 1:
            raise Incompatible(
                "importance weights need the density of the state at t_min: no normalising flows"
            )
        else:
            kind = "nelbo-ode-z0"
            prior = flow_likelihood(rev, top.z, source, cut, options)
            first, log_q = top.z, top.log_q.flatten(1).sum(1)
        values.append(prior.nats + log_q + _data_nats(model, x, first, code))
        errors.append(prior.stderr)
    if draws == 1:
        return Likelihood(values[0], errors[0], kind)
    nats, stderr = torch.stack(values), torch.stack(errors)
    weights = torch.softmax(-nats, 0)
    probe_bias = 0.5 * (weights * (1 - weights) * stderr.square()).sum(0)
    bound = math.log(draws) - torch.logsumexp(-nats, 0) + probe_bias.nan_to_num()
    return Likelihood(bound, (weights * stderr).square().sum(0).sqrt(), "iw-ode")


def likelihood_bound(
    model: LatentVariableModel,
    x: Tensor,
    noise: Noise,
    kind: Bound,
    draws: int,
    grid: Tensor | None = None,
    t_min: float | None = None,
    **options: Any,
) -> Likelihood:
    """See `sgmkit.Model.bound`. Behind a normalising flow the kind ends in ``-z0``."""
    cut = t_min or model.prior.t_min
    if kind == "iw-ode":
        return flow_bound(model, x, noise, cut, draws, FlowOptions(**options))
    if kind == "nelbo-chain" and grid is None:
        raise BadValue("the bound of a chain needs the times of its steps")
    if kind == "nelbo-chain" and grid is not None and not math.isclose(float(grid[-1]), cut):
        raise BadValue(f"the chain ends at t = {float(grid[-1]):g}, but the cut-off is {cut:g}")
    times = TimeSampler(model.prior.sde, "likelihood", cut)
    kernel, values, label = cut_kernel(model.prior, cut), list[Tensor](), str(kind)
    for number in range(draws):
        source = noise.stream(f"draw-{number}")
        with torch.no_grad():
            code = model.autoencoder.encode(x, source.stream("encode"))
            rev, top = model.prior.reverse(source), code[0]
            if kind == "nelbo-chain" and grid is not None:
                excess = chain_excess(rev, top.z, source.stream("chain"), grid)
            else:
                prior_noise, stratum = source.stream("prior"), (number, draws)
                excess = diffusion_excess(rev, top.z, prior_noise, times, stratum)
            first = cut_state(kernel, top.z, source.stream("cut"))[0][:, 0]
            if top.base is not None:
                first, label = top.z, f"{kind}-z0"
            divergence = (excess + own_entropy(top, kernel)).flatten(1).sum(1)
            values.append(divergence + _data_nats(model, x, first, code))
    nats = torch.stack(values)
    return Likelihood(nats.mean(0), _stratified_error(nats), label)


def state_log_q(latents: Latents, kernel: Kernel, eps: Tensor) -> Tensor:
    """``log q(u | x)``, nats, ``(B,)``: of a Normal with covariance ``S + s^2 m m^T``.

    It is computed from the draws that made the state, ``u = m z + L eps`` and ``z = mean + s xi``,
    because they are lost to rounding in u itself. With ``rho = L^-1 m`` and ``a = s rho`` the
    squared norm of the whitened state is
    ``|eps|^2 + (2 xi a.eps + |a|^2 xi^2 - (a.eps)^2) / (1 + |a|^2)``.

    Args:
        latents: of one scale, without a normalising flow.
        kernel: at the cut-off.
        eps: noise of the state, ``(B, k, *event)``.
    """
    eps, std = eps.double(), latents.std.double()
    xi = (latents.z.double() - latents.mean.double()) / std
    power = float(kernel.snr) * std.square()  # |a|^2, since snr = |rho|^2
    along = std * act_on_phases(kernel.rho[None].to(eps), eps)[:, 0]  # a.eps
    square = 2 * xi * along + power * xi.square() - along.square()
    square = eps.square().sum(1) + square / (1 + power)
    # log det of a root of the covariance: log det L + 1/2 log(1 + |a|^2)
    volume = float(kernel.chol.diagonal().log().sum()) + 0.5 * torch.log1p(power)
    norm = 0.5 * kernel.mean.shape[-1] * math.log(2 * math.pi)
    return (-0.5 * square - volume - norm).flatten(1).sum(1)


def _stratified_error(nats: Tensor) -> Tensor:
    """Standard errors ``(B,)`` of the means of stratified draws ``(draws, B)``; nan of one draw.

    Each stratum of times is drawn once. The variance is estimated within pairs of neighbouring
    strata, the last three together where their number is odd (collapsed strata, Cochran 1977, sec.
    5A.12). Each stratum counts once, however noisy it is. A difference between the means of
    neighbours only adds to the estimate: its expectation is never too small.
    """
    draws = len(nats)
    if draws < 2:
        return torch.full_like(nats[0], math.nan)
    sizes = [2] * (draws // 2 - 1) + [2 + draws % 2]
    squares = torch.stack([len(part) * part.var(0) for part in nats.split(sizes)])
    return squares.sum(0).sqrt() / draws


def _data_nats(
    model: LatentVariableModel, x: Tensor, first: Tensor, code: tuple[Latents, ...]
) -> Tensor:
    """``-log p(x | latents)`` and the divergence of the finer latents, nats, ``(B,)`` float64.

    Args:
        first: the coarsest latents that the decoder reads.
        code: the encoder's latents of all scales.
    """
    with torch.no_grad():
        nats = model.reconstruction(x, [first, *(latents.z for latents in code[1:])])
        for latents in code[1:]:
            # log q(z | x) - log N(z; 0, I)
            each = latents.log_q + 0.5 * (latents.z.square() + math.log(2 * math.pi))
            nats = nats + each.flatten(1).sum(1)
    return nats.double()
