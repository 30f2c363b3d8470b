r"""The reverse process of data that are a single point, and the factor R of gDDIM.

If the data were a single point x, the reverse process with a share lam of the noise would be linear
in ``u - m x``: ``du = F^ (u - m x) dt + lam G dw`` with ``F^ = F + (1 + lam^2)/2 D S^{-1}`` (gDDIM,
Zhang, Tao & Chen 2023, eq. 22). lam = 0 is the probability flow, lam = 1 the reverse SDE.

In the whitened frame ``y = L^{-1} (u - m x)`` this is ``y' = (W + lam^2/2 C) y`` with
``C = L^{-1} D L^{-T}`` and a skew-symmetric ``W = Z - Lambda``, where ``Z = L^{-1} F L + C/2`` and
Lambda is the lower triangle of ``Z + Z^T`` with its diagonal halved. Only this equation is
integrated, in log t, so that the covariance S comes out exactly.
"""

import torch
from torch import Tensor

from sgmkit._util.memo import remembered
from sgmkit.processes.matrices import ordered_transition
from sgmkit.processes.sde import LinearSDE

INTERVALS = 64
"""Number of intervals of the integration per unit of log t."""
EARLIEST = 1e-12
"""Time, in units of the horizon, below which the whitened frame no longer turns."""


def point_transition(
    sde: LinearSDE, t: Tensor, s: Tensor, eta: float = 0.0, intervals: int = 0
) -> tuple[Tensor, Tensor]:
    """Transition of the reverse process from t to s if the data are a single point x.

    ``u_s - m_s x = first (u_t - m_t x) + N(0, second)``.

    Args:
        t, s: start and end, ``(*t)``. s may be 0 if all phases have noise there; s > t only for
            eta = 0.
        eta: lam squared, the variance of the noise relative to the reverse SDE.
        intervals: number of intervals of the integration; 0 for `INTERVALS` per unit of log t.

    Returns:
        ``(*t, k, k)`` each.
    """
    source, target = sde.kernel(t), sde.kernel(s)
    if sde.phases == 1:  # W = 0: exp(-eta/2 int C dt), and C dt = -d log |rho|^2
        kept = (source.snr / target.snr).pow(eta / 2)[..., None, None]
        spread = -torch.expm1(eta * (source.snr.log() - target.snr.log()))[..., None, None]
    else:
        # In x = -log t, which increases on the way from t to s.
        begin, end = (-x.clamp(min=EARLIEST * sde.horizon).log() for x in (t, s))
        count = intervals or (INTERVALS * (end - begin).abs()).ceil().clamp(min=1)
        kept, spread = ordered_transition(lambda x: _generator(sde, x, eta), begin, end, count)
    first = target.chol @ kept @ source.whiten
    return first, target.chol @ spread @ target.chol.mT


def point_flow(sde: LinearSDE, t: Tensor, s: Tensor, intervals: int = 0) -> Tensor:
    r"""Probability-flow transition of the noise, ``R_s R_t^{-1} (*t, k, k)``.

    ``R' = (F + 1/2 D S^{-1}) R`` and ``R R^T = S`` (gDDIM, eq. 15): see `point_transition`.
    """
    return point_transition(sde, t, s, 0.0, intervals)[0]


def flow_factor(sde: LinearSDE, t: Tensor) -> Tensor:
    """R_t of gDDIM, ``(*t, k, k)``: the root of ``S_t`` that solves ``R' = (F + 1/2 D S^{-1}) R``.

    R = L at t = 0 if L has full rank there (as by CLD's ``numerical_eps``), else at the horizon.
    """
    if sde.phases == 1:
        return sde.kernel(t).chol
    nodes, factors = _factors(sde)
    now = t.flatten().to(nodes).contiguous()
    right = torch.searchsorted(nodes, now).clamp(1, len(nodes) - 1)
    nearest = right - (nodes[right] - now > now - nodes[right - 1]).long()
    factor = point_flow(sde, nodes[nearest], now) @ factors[nearest]
    return factor.reshape(*t.shape, *factors[0].shape).to(t)


@remembered
def _factors(sde: LinearSDE) -> tuple[Tensor, Tensor]:
    """Times ``(n,)`` and R there, ``(n, k, k)``.

    256 intervals of log t down to 1e-6 of the horizon, and 24 more down to `EARLIEST`.
    """
    top = torch.tensor([sde.horizon], dtype=torch.float64)
    low, high = (torch.logspace(*ends).to(top) * top for ends in ((-12, -6, 25), (-6, 0, 257)))
    low[-1], high[-1] = high[0], top[0]
    turns = torch.cat([point_flow(sde, part[:-1], part[1:]) for part in (low, high)])
    nodes = torch.cat([low, high[1:]])
    factor = sde.kernel(nodes[0]).chol
    factors = [factor]
    for turn in turns:
        factors.append(turn @ factors[-1])
    zero = sde.kernel(torch.zeros_like(top)).chol[0].diagonal()
    if not bool((zero > 0).all()):  # R_T = L_T instead: R_t -> R_t R_T^{-1} L_T
        to_end = torch.linalg.solve(factors[-1], sde.kernel(nodes[-1]).chol)
        factors = [factor @ to_end for factor in factors]
    return nodes, torch.stack(factors)


def _generator(sde: LinearSDE, x: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Drift and diffusion of y (see above) per unit of ``x = -log t``, ``(*x, k, k)`` each."""
    t = torch.exp(-x)
    kernel = sde.kernel(t)
    noise = kernel.whiten @ sde.diffusion(t) @ kernel.whiten.mT  # C
    z = kernel.whiten @ sde.drift(t) @ kernel.chol + noise / 2
    both = z + z.mT
    # Lambda
    lower = torch.tril(both, -1) + torch.diag_embed(both.diagonal(dim1=-2, dim2=-1) / 2)
    rate = t[..., None, None]
    return -rate * (z - lower + eta / 2 * noise), rate * eta * noise
