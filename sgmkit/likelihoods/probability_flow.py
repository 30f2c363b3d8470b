r"""Likelihood by the probability-flow ODE, for any linear SDE.

Along the flow ``d log p_t(u_t) / dt = -div f``: ``log p(u_e) = log p_T(u_T) + int_e^T div f dt``.
Only the driven phases contribute to the network's part of the divergence. Auxiliary phases are
integrated out by one draw each (Dockhorn et al. 2022, app. B.6, with the law at the cut-off e).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sgmkit.noise import Noise
from sgmkit.processes import LinearSDE, act_on_phases, flow_operators
from sgmkit.solvers import Reverse, integrate

EXACT_TRACE_LIMIT = 16
"""Driven coordinates up to which the trace is exact: one backward pass for each."""
PROBES = 8


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihoods.

    Args:
        nats: ``(B,)``.
        stderr: of each, from the trace estimator alone, ``(B,)``; zero where the trace is exact,
            NaN where one probe leaves it unknown.
        kind: exact, ode, elbo, iwae, ...: values of different kinds belong in different columns.
        parts: other numbers of the same computation, each ``(B,)`` or state-shaped.
    """

    nats: Tensor
    stderr: Tensor
    kind: str
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class FlowOptions:
    """How the likelihood of the probability flow is computed.

    Args:
        probes: Rademacher probes of the trace, fixed along the flow; 0 takes the exact trace; None
            takes it up to `EXACT_TRACE_LIMIT` driven coordinates, and `PROBES` probes beyond.
        rtol, atol: relative and absolute tolerance of the adaptive solver.
    """

    probes: int | None = None
    rtol: float = 1e-5
    atol: float = 1e-5


DEFAULT = FlowOptions()


def flow_likelihood(
    rev: Reverse, x: Tensor, noise: Noise, t_min: float, options: FlowOptions = DEFAULT
) -> Likelihood:
    """``-log p_{t_min}`` of ``x`` under the probability flow of ``rev`` that ends in the prior.

    For k = 1 this is the density itself, up to the mismatch of the prior. For k > 1 the auxiliary
    phases v are drawn from ``N(m_v x, S_vv(t_min))`` and the log of that density is added: equal
    to ``-log p(x)`` on average for an exact score (to O(t_min)), else a bound.

    Args:
        rev: the problem, over the rows of ``x``.
        x: data, ``(B, *event)``.
        noise: streams "aux" and "probe" are drawn from.
        t_min: the cut-off e.
        options: probes of the trace and tolerances of the solver.
    """
    u, log_aux = _with_auxiliary(rev.sde, x, noise.stream("aux"), t_min)
    joint = flow_state_likelihood(rev, u, noise, t_min, options)
    parts = {**joint.parts, "log_aux": log_aux}
    return Likelihood(joint.nats + log_aux, joint.stderr, joint.kind, parts)


def flow_state_likelihood(
    rev: Reverse, u: Tensor, noise: Noise, t_min: float, options: FlowOptions = DEFAULT
) -> Likelihood:
    """``-log p_{t_min}`` of states ``u (B, k, *event)``, all phases; see `flow_likelihood`."""
    sde, probes = rev.sde, options.probes
    coordinates = u[0, 0].numel() * sde.driven
    if probes is None:
        probes = 0 if coordinates <= EXACT_TRACE_LIMIT else PROBES
    directions = _directions(u, sde.driven, probes, noise.stream("probe"))
    width = u[0].numel()

    def narrow(index: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        part, z = rev.select(index), directions[index]

        def field_(y: Tensor, t: Tensor) -> Tensor:
            drift, gain = (matrix.to(y) for matrix in flow_operators(sde, t, sde.kernel(t)))
            state = y[:, :width].unflatten(1, u.shape[1:])
            flow, divergence = _flow_and_divergence(part, state, t, (drift, gain), z)
            if not probes:
                divergence = divergence.sum(1, keepdim=True)
            trace = u[0, 0].numel() * drift.diagonal(dim1=-2, dim2=-1).sum(-1)
            return torch.cat([flow.flatten(1), trace[:, None] + divergence], 1)

        return field_

    columns = probes or 1
    y = torch.cat([u.flatten(1), u.new_zeros(len(u), columns)], 1)
    y = integrate(narrow, y, t_min, sde.horizon, options.rtol, options.atol)
    u_T, gains = y[:, :width].unflatten(1, u.shape[1:]), y[:, width:]
    nats = -normal_log_density(u_T, sde.prior_cov()) - gains.mean(1)
    spread = torch.zeros_like(nats)
    if probes:
        spread = gains.std(1) / math.sqrt(probes) if probes > 1 else spread / 0
    return Likelihood(nats, spread, "ode", {"u_T": u_T})


def _directions(u: Tensor, driven: int, probes: int, noise: Noise) -> Tensor:
    """Rademacher probes of the trace, ``(B, K, r, *event)``; without any, the unit vectors."""
    shape = (driven, *u.shape[2:])
    if probes:
        draws = noise.uniform(u.new_empty(len(u), probes * math.prod(shape)))
        return torch.where(draws < 0.5, -1.0, 1.0).to(u).reshape(len(u), probes, *shape)
    count = math.prod(shape)
    unit = torch.eye(count, dtype=u.dtype, device=u.device)
    return unit.reshape(count, *shape).expand(len(u), -1, *shape)


def normal_log_density(u: Tensor, cov: Tensor) -> Tensor:
    """log N(u; 0, cov on the phase axis), over the event: ``(B,)`` from ``(B, k, *event)``."""
    factor = torch.linalg.cholesky(cov).to(u)
    white = act_on_phases(torch.linalg.inv(factor), u)
    count = u[0, 0].numel()
    norm = factor.diagonal().log().sum() + len(cov) / 2 * math.log(2 * math.pi)
    return -0.5 * white.square().flatten(1).sum(1) - count * norm


def _with_auxiliary(sde: LinearSDE, x: Tensor, noise: Noise, t_min: float) -> tuple[Tensor, Tensor]:
    """States ``(B, k, *event)`` around x at t_min, and log q(v | x), ``(B,)``; zero for k = 1."""
    if sde.phases == 1:
        return x[:, None], x.new_zeros(len(x))
    kernel = sde.kernel(torch.tensor(t_min, dtype=torch.float64))
    mean, cov = kernel.mean[1:, None].to(x), kernel.cov[1:, 1:]
    root = torch.linalg.cholesky(cov).to(x)
    shift = act_on_phases(root, noise(x.new_empty(len(x), sde.phases - 1, *x.shape[1:])))
    return torch.cat([x[:, None], act_on_phases(mean, x[:, None]) + shift], 1), normal_log_density(
        shift, cov
    )


def _flow_and_divergence(
    rev: Reverse, u: Tensor, t: Tensor, flow: tuple[Tensor, Tensor], directions: Tensor
) -> tuple[Tensor, Tensor]:
    """``(du/dt, z^T (d f_net / d u_d) z)`` for probes ``z (b, K, r, *event)``: ``(b, K)``."""
    r, (_, gain) = rev.sde.driven, flow
    with torch.inference_mode(False), torch.enable_grad():
        state = u.detach().clone().requires_grad_(True)
        eps = rev.eps(state, t)
        pulled = torch.einsum("bij,bki...->kbj...", gain[:, -r:], directions)
        (slopes,) = torch.autograd.grad(eps, state, pulled, is_grads_batched=True)
    divergence = (slopes[:, :, -r:] * directions.transpose(0, 1)).flatten(2).sum(2).T
    return act_on_phases(torch.cat(flow, -1), u, eps.detach()), divergence
