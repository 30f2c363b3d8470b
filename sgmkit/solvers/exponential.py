r"""Exponential integrators for any linear SDE: their coefficients for a whole grid, once.

Between two times the reverse process is a linear part, which is exact, and something that a model
answers: ``du = (A(t) u + g(t) q(u, t)) dt`` plus noise. A `Form` chooses the split. A method then
holds or extrapolates q as a polynomial in a variable of the grid, and all it needs are the moments

    u_s = T(s, t) u_t + sum_i M_i q_i,    M_i = int_t^s T(s, t') g(t') theta(t')^i dt',

theta running from 0 at t to 1 at s. A multistep method is a choice of nodes; see `weights`.
DPM-Solver(++), DEIS, UniPC, SEEDS, gDDIM are such choices (k = 1: Lu et al. 2022; k > 1: Zhang,
Tao & Chen 2023).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes import (
    ClockedSDE,
    LinearSDE,
    Variable,
    as_matrix,
    denoise_operators,
    driven_factor,
    flow_factor,
    flow_operators,
    ou_transition,
    point_transition,
    scaled_cholesky,
    variable_and_rate,
)

NODES = 12
"""Gauss-Legendre nodes of each panel of a step."""
PANEL = 0.7
"""Widest panel, in log t and the log of the noise level together."""


@dataclass(frozen=True)
class Form(ABC):
    """A split ``du = (A u + g q) dt + lam G dw`` of the reverse process.

    Unless a form says otherwise A is F, and q in units of the driven noise.

    Args:
        sde: the process.
        eta: lam squared: 0 is the probability flow, 1 the reverse SDE.
    """

    sde: LinearSDE
    eta: float = 0.0

    def carry(self, t: Tensor, s: Tensor) -> Tensor:
        """T(s, t), ``(n, k, k)``: the linear part from ``t (n,)`` to ``s (n,)``."""
        return self.sde.transition(t, s)[0]

    def rate(self, t: Tensor) -> Tensor:
        """g(t), ``(n, k, j)``, per unit of time."""
        return 2 * self._share * flow_operators(self.sde, t, self.sde.kernel(t))[1]

    @abstractmethod
    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """``q = first u + second eps_d``: operators ``(n, j, k)`` and ``(n, j, r)``."""

    def held(self, t: Tensor, s: Tensor) -> Tensor | None:
        """What a constant answer adds in a step, ``(n, k, j)``, where that is known exactly."""
        return None

    def carry_all(self, nodes: Tensor, s: Tensor) -> Tensor:
        """T(s, t'), ``(n, m, k, k)``, from each of the decreasing times ``nodes (n, m)``."""
        ends = s[:, None].expand_as(nodes).flatten()
        return self.carry(nodes.flatten(), ends).unflatten(0, nodes.shape)

    def spread(self, t: Tensor, s: Tensor) -> Tensor:
        """Covariance of the noise of a step, ``(n, k, k)``: that of the linear part."""
        phi, cov = self.sde.transition(s, t)
        back = torch.linalg.inv(phi)
        return self.eta * back @ cov @ back.mT

    @property
    def _share(self) -> float:
        return (1 + self.eta) / 2


@dataclass(frozen=True)
class DataForm(Form):
    """q is the posterior mean of the data: ``A = F + (1 + lam^2)/2 D S^{-1}``.

    Exact in one step for data at one point, whatever k: DPM-Solver++'s form (Lu et al. 2022b).
    """

    def carry(self, t: Tensor, s: Tensor) -> Tensor:
        return point_transition(self.sde, t, s, self.eta)[0]

    def held(self, t: Tensor, s: Tensor) -> Tensor:
        source, target = (self.sde.kernel(x).mean[..., None] for x in (t, s))
        return target - self.carry(t, s) @ source

    def carry_all(self, nodes: Tensor, s: Tensor) -> Tensor:
        """From node to node, for each must be integrated, and all that follows it in turn."""
        after = torch.cat([nodes[:, 1:], s[:, None]], 1)
        hops = self.carry(nodes.flatten(), after.flatten()).unflatten(0, nodes.shape)
        ways = [hops[:, -1]]
        for hop in reversed(hops.unbind(1)[:-1]):
            ways.append(ways[-1] @ hop)
        return torch.stack(ways[::-1], 1)

    def rate(self, t: Tensor) -> Tensor:
        kernel, r = self.sde.kernel(t), self.sde.driven
        inverse = kernel.whiten[..., -r:, -r:].mT @ kernel.rho[..., -r:, None]
        return -self._share * self.sde.diffusion(t)[..., -r:] @ inverse

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return denoise_operators(self.sde.kernel(t), self.sde.driven, self.sde.data_var())

    def spread(self, t: Tensor, s: Tensor) -> Tensor:
        return point_transition(self.sde, t, s, self.eta)[1]


@dataclass(frozen=True)
class NoiseForm(Form):
    """q is the noise of all phases in the flow's own frame, ``R^{-1} (u - m E[x | u])``; A = F.

    DEIS' and DPM-Solver's form; for k > 1 gDDIM's (eq. 17). A model that predicts driven noise
    only says what the other phases hold by way of the data.
    """

    def held(self, t: Tensor, s: Tensor) -> Tensor:
        source, target = (flow_factor(self.sde, x) for x in (t, s))
        return 2 * self._share * (target - self.carry(t, s) @ source)

    def rate(self, t: Tensor) -> Tensor:
        inverse = torch.linalg.inv(flow_factor(self.sde, t))
        return self._share * self.sde.diffusion(t) @ inverse.mT

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        if self.sde.phases == 1:
            return _driven(self.sde, t)
        kernel, r = self.sde.kernel(t), self.sde.driven
        first, second = denoise_operators(kernel, r, self.sde.data_var())
        inverse = torch.linalg.inv(flow_factor(self.sde, t))
        unit, mean = torch.eye(self.sde.phases).to(t), kernel.mean[..., None]
        return inverse @ (unit - mean @ first), -inverse @ mean @ second


@dataclass(frozen=True)
class CholeskyForm(Form):
    """q is the driven noise as it is predicted; A = F.

    The plain exponential integrator. For k = 1 it is `NoiseForm`; for k = 2 useless at few steps:
    the noise turns against L faster than any polynomial follows (gDDIM, sec. 4; benchmarks).
    """

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return _driven(self.sde, t)


@dataclass(frozen=True)
class EquilibriumForm(Form):
    """q is what the score lacks to that of the stationary law: ``A = F + (1 + lam^2)/2 D P``.

    In units of the driven noise, ``q = eps_d - L_dd^T (P u)_d``, which vanishes at equilibrium.
    """

    def carry(self, t: Tensor, s: Tensor) -> Tensor:
        assert isinstance(self.sde, ClockedSDE)
        return self._pulled(self.sde, self.sde.clock(s) - self.sde.clock(t))[0]

    def spread(self, t: Tensor, s: Tensor) -> Tensor:
        assert isinstance(self.sde, ClockedSDE)
        return self.eta * self._pulled(self.sde, self.sde.clock(t) - self.sde.clock(s), -1.0)[1]

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        pull = as_matrix(self.sde.precision, self.sde.phases, t)[-self.sde.driven :]
        first, second = _driven(self.sde, t)
        return first - driven_factor(self.sde.kernel(t), self.sde.driven).mT @ pull, second

    def _pulled(self, sde: ClockedSDE, tau: Tensor, sign: float = 1.0) -> tuple[Tensor, Tensor]:
        drift, noise, precision = (
            as_matrix(m, sde.phases, tau)
            for m in (sde.drift_matrix, sde.noise_matrix, sde.precision)
        )
        return ou_transition(sign * (drift + self._share * noise @ precision), noise, tau)


@dataclass(frozen=True)
class PlainForm(Form):
    """No linear part is taken out: q is the velocity of the probability flow, and A = 0."""

    def __post_init__(self) -> None:
        if self.eta:
            raise BadValue(f"form plain is of the probability flow: eta = 0, not {self.eta:g}")

    def carry(self, t: Tensor, s: Tensor) -> Tensor:
        return torch.eye(self.sde.phases).to(t).expand(*t.shape, -1, -1)

    def rate(self, t: Tensor) -> Tensor:
        return self.carry(t, t)

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return flow_operators(self.sde, t, self.sde.kernel(t))


def _driven(sde: LinearSDE, t: Tensor) -> tuple[Tensor, Tensor]:
    """The answer that is eps_d itself."""
    unit = torch.eye(sde.driven).to(t).expand(*t.shape, -1, -1)
    return unit.new_zeros(*t.shape, sde.driven, sde.phases), unit


FORMS: dict[str, type[Form]] = {
    "data": DataForm,
    "noise": NoiseForm,
    "cholesky": CholeskyForm,
    "equilibrium": EquilibriumForm,
    "plain": PlainForm,
}


def moments(form: Form, variable: Variable, t: Tensor, s: Tensor, count: int) -> Tensor:
    """``M_i``, ``(n, count, k, j)``, of steps from ``t (n,)`` to ``s (n,)``; see the module.

    Gauss-Legendre quadrature in log t, on the panels of each step.
    """
    where, mass = (torch.from_numpy(v).to(t) for v in np.polynomial.legendre.leggauss(NODES))
    step, begin, end = _panels(form.sde, t, s)
    low, width = begin.log()[:, None], (end / begin).log()[:, None]
    nodes = torch.exp(low + width * (1 + where) / 2)
    pushed = form.carry_all(nodes, end) @ form.rate(nodes.flatten()).unflatten(0, nodes.shape)
    weight = mass / 2 * width * nodes
    first, last = (variable_and_rate(form.sde, variable, x)[0][step, None] for x in (t, s))
    theta = (variable_and_rate(form.sde, variable, nodes)[0] - first) / (last - first)
    powers = torch.stack([weight * theta**i for i in range(count)], 1)  # (panels, count, nodes)
    parts = (powers @ pushed.flatten(2)).unflatten(2, pushed.shape[2:])
    # Horner's rule: each step carries the sum over a panel through the next one.
    hops, total = form.carry(begin, end)[:, None], parts.new_zeros(len(t), *parts.shape[1:])
    for i, hop, part in zip(step.tolist(), hops, parts, strict=True):
        total[i] = hop @ total[i] + part
    held = form.held(t, s)
    if held is not None:
        total[:, 0] = held
    return total


def _panels(sde: LinearSDE, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Panels of each step in their order: which step they are of, begin and end, ``(panels,)``.

    Rates grow as powers of t near the data, and as powers of the signal-to-noise ratio where a
    schedule ends with none: no panel is wider than `PANEL` in ``log t - log |rho|``.
    """

    def reach(time: Tensor) -> Tensor:
        return time.log() - 0.5 * sde.kernel(time).snr.log()

    start, width = reach(t), reach(t) - reach(s)
    parts = (width / PANEL).ceil().nan_to_num(1, 1, 1).clamp(min=1).long()
    step = torch.arange(len(t), device=t.device).repeat_interleave(parts)
    number = torch.arange(len(step), device=t.device) - (parts.cumsum(0) - parts)[step]
    goal = start[step] - width[step] * number / parts[step]
    low, high = s.log()[step], t.log()[step]
    for _ in range(30):
        middle = (low + high) / 2
        beyond = reach(middle.exp()) > goal
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    begin = torch.where(number == 0, t[step], low.exp())
    end = torch.where(number == parts[step] - 1, s[step], begin.roll(-1))
    return step, begin, end


def weights(moment: Tensor, nodes: Tensor) -> Tensor:
    """Weights of p answers with which a polynomial of degree p - 1 is integrated exactly.

    Args:
        moment: ``(n, p, k, j)``.
        nodes: where the answers are, in theta, ``(n, p)``: 0 is the start of a step, 1 its end,
            what came before is negative.

    Returns:
        ``(n, p, k, j)``.
    """
    count = nodes.shape[1]
    powers = torch.stack([nodes**i for i in range(count)], 1)
    flat = moment[:, :count].flatten(2)
    return torch.linalg.solve(powers, flat).unflatten(2, moment.shape[2:])


def root(cov: Tensor) -> Tensor:
    """A factor of a step's covariance, ``(n, k, k)``."""
    return cov.sqrt() if cov.shape[-1] == 1 else scaled_cholesky(cov)
