r"""How the reverse process carries the noise: the flow and its factor R, for any number of phases.

If the data were one point x, the reverse process with noise level lam would be linear in
``u - m x``: ``du = F^ (u - m x) dt + lam G dw`` with ``F^ = F + (1 + lam^2)/2 D S^{-1}`` (gDDIM,
Zhang, Tao & Chen 2023, eq. 22). lam = 0 is the probability flow, lam = 1 the reverse SDE. In the
whitened frame ``y = L^{-1} (u - m x)`` it reads ``y' = (W + lam^2/2 C) y`` with
``C = L^{-1} D L^{-T}`` and a skew ``W = Z - Lambda``, where ``Z = L^{-1} F L + C/2`` and Lambda is
the lower triangle of ``Z + Z^T`` with halved diagonal. Only this is integrated, in log t, so that
covariances stay exact.
"""

import torch
from torch import Tensor

from sgmkit._util.memo import remembered
from sgmkit.processes.matrices import ordered_transition
from sgmkit.processes.sde import LinearSDE

INTERVALS = 64
"""Intervals of the integration per unit of log t."""
EARLIEST = 1e-12
"""In units of the horizon: what lies below turns nothing."""


def point_transition(
    sde: LinearSDE, t: Tensor, s: Tensor, eta: float = 0.0, intervals: int = 0
) -> tuple[Tensor, Tensor]:
    """The reverse process of data at one point x, from t to s.

    ``u_s - m_s x = first (u_t - m_t x) + N(0, second)``.

    Args:
        t, s: from and to, ``(*t)``; s may be 0 if the start is proper. s > t only if eta is 0.
        eta: lam squared, the share of the reverse SDE's noise.
        intervals: of the integration, for all alike; 0 takes `INTERVALS` per unit of log t.

    Returns:
        ``(*t, k, k)`` each.
    """
    source, target = sde.kernel(t), sde.kernel(s)
    if sde.phases == 1:
        kept = (source.snr / target.snr).pow(eta / 2)[..., None, None]
        spread = -torch.expm1(eta * (source.snr.log() - target.snr.log()))[..., None, None]
    else:
        # What decreases is time: the noise is added on the way from t to s.
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
    """``R_t (*t, k, k)`` itself: a root of ``S_t`` that the probability flow of one point carries.

    It starts as L at t = 0 if that has full rank (CLD's ``numerical_eps`` sees to it), else it is
    L at the horizon.
    """
    if sde.phases == 1:
        return sde.kernel(t).chol
    nodes, factors = _factors(sde)
    now = t.flatten().to(nodes).contiguous()
    place = torch.searchsorted(nodes, now).clamp(1, len(nodes) - 1)
    near = place - (nodes[place] - now > now - nodes[place - 1]).long()
    found = point_flow(sde, nodes[near], now) @ factors[near]
    return found.reshape(*t.shape, *factors[0].shape).to(t)


@remembered
def _factors(sde: LinearSDE) -> tuple[Tensor, Tensor]:
    """R at 256 times, even in log t down to 1e-6 of the horizon and beyond in fewer."""
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
    if not bool((zero > 0).all()):
        to_end = torch.linalg.solve(factors[-1], sde.kernel(nodes[-1]).chol)
        factors = [factor @ to_end for factor in factors]
    return nodes, torch.stack(factors)


def _generator(sde: LinearSDE, x: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Drift and noise in the whitened frame per unit of ``x = -log t``, ``(*x, k, k)`` each."""
    t = torch.exp(-x)
    kernel = sde.kernel(t)
    noise = kernel.whiten @ sde.diffusion(t) @ kernel.whiten.mT
    z = kernel.whiten @ sde.drift(t) @ kernel.chol + noise / 2
    both = z + z.mT
    lower = torch.tril(both, -1) + torch.diag_embed(both.diagonal(dim1=-2, dim2=-1) / 2)
    rate = t[..., None, None]
    return -rate * (z - lower + eta / 2 * noise), rate * eta * noise
