r"""The likelihood that the probability-flow ODE assigns to data, for any linear SDE.

Along the flow ``du/dt = f(u, t)`` the log-density obeys ``d log p_t(u_t) / dt = -div f``, so that
``log p(u_e) = log p_T(u_T) + int_e^T div f dt`` from the cut-off e to the horizon T (Song et al.
2021, sec. 4.3). The network enters f by the driven noise only, so that its part of the divergence
is a sum over driven phases. Auxiliary phases are integrated out by one draw each (Dockhorn et al.
2022, app. B.6, with the law at the cut-off e).
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
"""Number of driven coordinates up to which the trace is exact by default.

An exact trace costs one backward pass for each of them.
"""
PROBES = 8
"""Default number of random probes of the trace beyond that."""


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihoods of a batch.

    Args:
        nats: ``(B,)``.
        stderr: standard errors of ``nats`` by the trace estimator alone, ``(B,)``; zero where the
            trace is exact, NaN where a single probe leaves them unknown.
        kind: what ``nats`` are, as "ode", "nelbo-ode" or "iw-ode". Values of different kinds
            belong in different columns of a table.
        parts: other results of the same computation by name, each ``(B,)`` or shaped like states.
    """

    nats: Tensor
    stderr: Tensor
    kind: str
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class FlowOptions:
    """How the likelihood of the probability flow is computed.

    Args:
        probes: number of Rademacher probes of the trace, which stay fixed along the flow; 0 for
            the exact trace. None: exact up to `EXACT_TRACE_LIMIT` driven coordinates, `PROBES`
            probes beyond.
        rtol, atol: relative and absolute tolerance of the adaptive solver.
    """

    probes: int | None = None
    rtol: float = 1e-5
    atol: float = 1e-5


DEFAULT = FlowOptions()


def flow_likelihood(
    rev: Reverse, x: Tensor, noise: Noise, t_min: float, options: FlowOptions = DEFAULT
) -> Likelihood:
    """``-log p(x)`` at the cut-off, under the probability flow that starts in the prior.

    For k = 1 this is the density of the model. For k > 1 the auxiliary phases v are drawn from
    ``q(v | x) = N(m_v x, S_vv)`` at the cut-off, and the result is ``-log p(x, v) + log q(v | x)``:
    in expectation ``-log p(x)`` under an exact score (up to terms of order t_min), and an upper
    bound of it for any other.

    Args:
        rev: the reverse process for the rows of ``x``.
        x: data, ``(B, *event)``.
        noise: draws from its streams "aux" and "probe".
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
    """``-log p(u)`` at the cut-off, of states ``u (B, k, *event)`` of all phases.

    See `flow_likelihood` for the arguments.
    """
    sde, probes = rev.sde, options.probes
    coordinates = u[0, 0].numel() * sde.driven
    if probes is None:
        probes = 0 if coordinates <= EXACT_TRACE_LIMIT else PROBES
    directions = _directions(u, sde.driven, probes, noise.stream("probe"))
    width = u[0].numel()

    def derivative_of(index: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The derivative of (u, int div f dt) for some rows, with one integral for each probe."""
        part, z = rev.select(index), directions[index]

        def derivative(y: Tensor, t: Tensor) -> Tensor:
            drift, gain = (matrix.to(y) for matrix in flow_operators(sde, t, sde.kernel(t)))
            state = y[:, :width].unflatten(1, u.shape[1:])
            flow, divergence = _flow_and_divergence(part, state, t, (drift, gain), z)
            if not probes:  # directions are the unit vectors: their sum is the trace
                divergence = divergence.sum(1, keepdim=True)
            trace = u[0, 0].numel() * drift.diagonal(dim1=-2, dim2=-1).sum(-1)  # of F
            return torch.cat([flow.flatten(1), trace[:, None] + divergence], 1)

        return derivative

    integrals = u.new_zeros(len(u), probes or 1)
    y = torch.cat([u.flatten(1), integrals], 1)
    y = integrate(derivative_of, y, t_min, sde.horizon, options.rtol, options.atol)
    u_T, integrals = y[:, :width].unflatten(1, u.shape[1:]), y[:, width:]
    # -log p(u_e) = -log p_T(u_T) - int_e^T div f dt
    nats = -normal_log_density(u_T, sde.prior_cov()) - integrals.mean(1)
    stderr = torch.zeros_like(nats)
    if probes == 1:
        stderr = torch.full_like(nats, math.nan)
    elif probes:
        stderr = integrals.std(1) / math.sqrt(probes)
    return Likelihood(nats, stderr, "ode", {"u_T": u_T})


def _directions(u: Tensor, driven: int, probes: int, noise: Noise) -> Tensor:
    """K Rademacher probes of the trace, ``(B, K, r, *event)``; for 0 probes the unit vectors."""
    shape = (driven, *u.shape[2:])
    if probes:
        draws = noise.uniform(u.new_empty(len(u), probes * math.prod(shape)))
        return torch.where(draws < 0.5, -1.0, 1.0).to(u).reshape(len(u), probes, *shape)
    count = math.prod(shape)
    unit = torch.eye(count, dtype=u.dtype, device=u.device)
    return unit.reshape(count, *shape).expand(len(u), -1, *shape)


def normal_log_density(u: Tensor, cov: Tensor) -> Tensor:
    """``log N(u; 0, cov)``, ``(B,)``, of states ``(B, k, *event)``.

    The coordinates of the event are independent; ``cov (k, k)`` is that of the phases of each.
    """
    factor = torch.linalg.cholesky(cov).to(u)
    white = act_on_phases(torch.linalg.inv(factor), u)
    count = u[0, 0].numel()
    norm = factor.diagonal().log().sum() + len(cov) / 2 * math.log(2 * math.pi)
    return -0.5 * white.square().flatten(1).sum(1) - count * norm


def _with_auxiliary(sde: LinearSDE, x: Tensor, noise: Noise, t_min: float) -> tuple[Tensor, Tensor]:
    """States ``(x, v)``, ``(B, k, *event)``, with v drawn from q(v | x) at the cut-off.

    And ``log q(v | x)``, ``(B,)``: zero for k = 1, where there is no v.
    """
    if sde.phases == 1:
        return x[:, None], x.new_zeros(len(x))
    kernel = sde.kernel(torch.tensor(t_min, dtype=torch.float64))
    mean, cov = kernel.mean[1:, None].to(x), kernel.cov[1:, 1:]
    root = torch.linalg.cholesky(cov).to(x)
    shift = act_on_phases(root, noise(x.new_empty(len(x), sde.phases - 1, *x.shape[1:])))
    v = act_on_phases(mean, x[:, None]) + shift
    return torch.cat([x[:, None], v], 1), normal_log_density(shift, cov)


def _flow_and_divergence(
    rev: Reverse, u: Tensor, t: Tensor, flow: tuple[Tensor, Tensor], directions: Tensor
) -> tuple[Tensor, Tensor]:
    """The flow, and the network's part of its divergence along each probe z.

    Args:
        rev: the reverse process.
        u: states, ``(b, k, *event)``.
        t: the time.
        flow: operators F and G of ``du/dt = F u + G eps_d``.
        directions: z, ``(b, K, r, *event)``.

    Returns:
        ``du/dt``, like u, and ``z^T (d (G eps_d)_d / d u_d) z``, ``(b, K)``.
    """
    r, (_, gain) = rev.sde.driven, flow
    with torch.inference_mode(False), torch.enable_grad():
        state = u.detach().clone().requires_grad_(True)
        eps = rev.eps(state, t)
        cotangents = torch.einsum("bij,bki...->kbj...", gain[:, -r:], directions)  # G_d^T z
        (slopes,) = torch.autograd.grad(eps, state, cotangents, is_grads_batched=True)
    divergence = (slopes[:, :, -r:] * directions.transpose(0, 1)).flatten(2).sum(2).T
    return act_on_phases(torch.cat(flow, -1), u, eps.detach()), divergence
