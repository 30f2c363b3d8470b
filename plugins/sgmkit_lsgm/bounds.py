r"""Bounds of an item's likelihood, each named for what it is.

The bound of one draw is ``-log p(x | u_e, z_fine) + log q - log p``: over the coarsest latents
``log q(u_e | x)``, a Normal density in closed form, and the prior's density by its flow, or bounds
of that; over finer ones the densities of z. All phases of u_e count, the velocity among them. With
hierarchical groups q is the product of each group's law given the *clean* groups before it: the
weights of several draws still average to the likelihood, since the laws of the clean groups given
the noisy ones integrate to one.
"""

import math
from typing import TYPE_CHECKING, Any

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
from sgmkit_lsgm.divergence import at_cut, cut_kernel, own_entropy

if TYPE_CHECKING:
    from sgmkit_lsgm.lsgm import Lsgm


def flow(
    model: "Lsgm",
    x: Tensor,
    noise: Noise,
    cut: float,
    draws: int,
    options: FlowOptions,
    y: Tensor | None = None,
) -> Likelihood:
    """One draw: the negative ELBO. More: the importance-weighted bound (Burda et al. 2016).

    Noise of variance s^2 in the logarithms of weights w, from the probes of the trace, makes the
    bound too low by about ``1/2 sum w (1 - w) s^2``: that is put back. It takes two probes to know.

    Behind a normalising flow the latent is z_0, taken for the state at the cut-off: kind
    ``nelbo-ode-z0``, and no weighting of several.
    """
    kernel, nats, spread, kind = cut_kernel(model.prior, cut), [], [], "nelbo-ode"
    for number in range(draws):
        source = noise.stream(f"draw-{number}")
        with torch.no_grad():
            code = model.autoencoder.encode(x, source.stream("encode"))
        top, rev = code[0], model.reverse(source, y)
        if top.base is None:
            u, eps = at_cut(kernel, top.z, source.stream("cut"))
            prior = flow_state_likelihood(rev, u, source, cut, options)
            first, log_q = u[:, 0], state_log_q(top, kernel, eps)
        elif draws > 1:
            raise Incompatible("importance weights need the density of u_e: no normalising flows")
        else:
            kind = "nelbo-ode-z0"
            prior = flow_likelihood(rev, top.z, source, cut, options)
            first, log_q = top.z, top.log_q.flatten(1).sum(1)
        nats.append(prior.nats + log_q + _data(model, x, first, code))
        spread.append(prior.stderr)
    if draws == 1:
        return Likelihood(nats[0], spread[0], kind)
    table, errors = torch.stack(nats), torch.stack(spread)
    weights = torch.softmax(-table, 0)
    low = 0.5 * (weights * (1 - weights) * errors.square()).sum(0)
    bound = math.log(draws) - torch.logsumexp(-table, 0) + low.nan_to_num()
    return Likelihood(bound, (weights * errors).square().sum(0).sqrt(), "iw-ode")


def bound(
    model: "Lsgm",
    x: Tensor,
    noise: Noise,
    kind: Bound,
    draws: int,
    grid: Tensor | None = None,
    t_min: float | None = None,
    **options: Any,
) -> Likelihood:
    """See `sgmkit.Model.bound`; kinds end in ``-z0`` behind a flow, as that of `flow`."""
    cut = t_min or model.t_min
    if kind == "iw-ode":
        return flow(model, x, noise, cut, draws, FlowOptions(**options))
    if kind == "nelbo-chain" and grid is None:
        raise BadValue("the bound of a chain needs the times of its steps")
    if kind == "nelbo-chain" and grid is not None and not math.isclose(float(grid[-1]), cut):
        raise BadValue(f"the chain ends at t = {float(grid[-1]):g}, but the cut-off is {cut:g}")
    times = TimeSampler(model.prior.sde, "likelihood", cut)
    kernel, nats, told = cut_kernel(model.prior, cut), [], str(kind)
    for number in range(draws):
        source = noise.stream(f"draw-{number}")
        with torch.no_grad():
            code = model.autoencoder.encode(x, source.stream("encode"))
            rev, top = model.reverse(source), code[0]
            if kind == "nelbo-chain" and grid is not None:
                excess = chain_excess(rev, top.z, source.stream("chain"), grid)
            else:
                told_prior, stratum = source.stream("prior"), (number, draws)
                excess = diffusion_excess(rev, top.z, told_prior, times, stratum)
            first = at_cut(kernel, top.z, source.stream("cut"))[0][:, 0]
            if top.base is not None:
                first, told = top.z, f"{kind}-z0"
            own = (excess + own_entropy(top, kernel)).flatten(1).sum(1)
            nats.append(own + _data(model, x, first, code))
    table = torch.stack(nats)
    return Likelihood(table.mean(0), _mean_error(table), told)


def state_log_q(latents: Latents, kernel: Kernel, eps: Tensor) -> Tensor:
    """``log q(u_e | x)``, nats, ``(B,)``: of a Normal with covariance ``S + s^2 m m^T``.

    From the draws that made the state, since in ``u`` itself they are lost to rounding: with
    ``a = s rho`` and ``z = mean + s xi`` the squared norm of the whitened state is
    ``|eps|^2 + (2 xi a.eps + |a|^2 xi^2 - (a.eps)^2) / (1 + |a|^2)``.

    Args:
        latents: of one scale, without a flow.
        kernel: at the cut-off.
        eps: noise of the state, ``(B, k, *event)``.
    """
    eps, std = eps.double(), latents.std.double()
    xi = (latents.z.double() - latents.mean.double()) / std
    power = float(kernel.snr) * std.square()
    along = std * act_on_phases(kernel.rho[None].to(eps), eps)[:, 0]
    square = 2 * xi * along + power * xi.square() - along.square()
    square = eps.square().sum(1) + square / (1 + power)
    volume = float(kernel.chol.diagonal().log().sum()) + 0.5 * torch.log1p(power)
    norm = 0.5 * kernel.mean.shape[-1] * math.log(2 * math.pi)
    return (-0.5 * square - volume - norm).flatten(1).sum(1)


def _mean_error(table: Tensor) -> Tensor:
    """Standard errors of the means of draws ``(draws, B)``, nan of one.

    From the variances within pairs of neighbours, the last of them three where they are odd
    (collapsed strata, Cochran 1977, sec. 5A.12). Each stratum counts once, however noisy, and what
    neighbours differ in their means only adds: never too small in the mean.
    """
    draws = len(table)
    if draws < 2:
        return torch.full_like(table[0], math.nan)
    sizes = [2] * (draws // 2 - 1) + [2 + draws % 2]
    squares = torch.stack([len(part) * part.var(0) for part in table.split(sizes)])
    return squares.sum(0).sqrt() / draws


def _data(model: "Lsgm", x: Tensor, first: Tensor, code: tuple[Latents, ...]) -> Tensor:
    """``-log p(x | latents)``, and what the finer latents cost, nats, ``(B,)``."""
    with torch.no_grad():
        told = model.autoencoder.decode([first, *(part.z for part in code[1:])])
        nats = -model.observation.log_prob(told, x)
        for part in code[1:]:
            own = part.log_q + 0.5 * (part.z.square() + math.log(2 * math.pi))
            nats = nats + own.flatten(1).sum(1)
    return nats.double()
