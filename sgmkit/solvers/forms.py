r"""Forms of the reverse process: what of a step is exact, and what is approximated.

Between two times the reverse process is a linear part, which is integrated exactly, and a part that
depends on the network:

    du = (A(t) u + g(t) q(u, t)) dt + lam G(t) dw.

A `Form` chooses this split. q is called the answer: the function of the network's noise prediction
(the data, the noise, ...) that a method of `exponential_integrators` holds or extrapolates over a
step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.processes import (
    ClockedSDE,
    LinearSDE,
    Operator,
    as_matrix,
    denoise_operators,
    driven_factor,
    flow_factor,
    flow_operators,
    operators_by_time,
    ou_transition,
    point_transition,
    scaled_cholesky,
)


@dataclass(frozen=True)
class Form(ABC):
    """A split ``du = (A u + g q) dt + lam G dw`` of the reverse process.

    Unless a form says otherwise, A is the forward drift F and q is in units of the driven noise.

    Args:
        sde: the process.
        eta: lam squared: 0 is the probability flow, 1 the reverse SDE.

    Attributes:
        whole: whether q is the noise of all phases, which some models predict themselves; a
            method then takes `Reverse.whole` where the model has it.
    """

    sde: LinearSDE
    eta: float = 0.0

    whole: ClassVar[bool] = False

    @classmethod
    def supports(cls, sde: LinearSDE) -> str | None:
        """Why ``sde`` has no such split, in a few words, or None if it has."""
        return None

    @abstractmethod
    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices of ``q = first u + second eps_d``, ``(n, j, k)`` and ``(n, j, r)``."""

    def answer_operators(self, t: Tensor) -> Sequence[Operator | None]:
        """`answer` as operators on (u, eps_d), one for each of ``t (n,)``.

        All are None where q is eps_d itself.
        """
        first, second = self.answer(t)
        unit = torch.eye(second.shape[-1]).to(second)
        square = second.shape[-1] == second.shape[-2]
        if square and not first.any() and bool((second == unit).all()):
            return [None] * len(t)
        return operators_by_time(first, second)

    def propagator(self, t: Tensor, s: Tensor) -> Tensor:
        """T(s, t), ``(n, k, k)``: the linear part from ``t (n,)`` to ``s (n,)``."""
        return self.sde.transition(t, s)[0]

    def propagators(self, nodes: Tensor, s: Tensor) -> Tensor:
        """T(s, t'), ``(n, m, k, k)``, from each of the decreasing times ``nodes (n, m)``."""
        ends = s[:, None].expand_as(nodes).flatten()
        return self.propagator(nodes.flatten(), ends).unflatten(0, nodes.shape)

    def rate(self, t: Tensor) -> Tensor:
        """g(t), ``(n, k, j)``, per unit of time."""
        # The flow's share of the score term, -D s / 2, grown to -(1 + lam^2) / 2 D s.
        return 2 * self._score_weight * flow_operators(self.sde, t, self.sde.kernel(t))[1]

    def constant_moment(self, t: Tensor, s: Tensor) -> Tensor | None:
        """What a constant answer adds in a step, ``(n, k, j)``, where it is known in closed form.

        Otherwise None: it is then integrated numerically.
        """
        return None

    def noise_cov(self, t: Tensor, s: Tensor) -> Tensor:
        """Covariance of the noise of a step from t to s, ``(n, k, k)``."""
        # The forward noise Q(s -> t), brought back to s by Phi^{-1}.
        phi, cov = self.sde.transition(s, t)
        back = torch.linalg.inv(phi)
        return self.eta * back @ cov @ back.mT

    @property
    def _score_weight(self) -> float:
        """(1 + lam^2) / 2, the weight of D s in the reverse drift."""
        return (1 + self.eta) / 2


@dataclass(frozen=True)
class DataForm(Form):
    """q is the posterior mean of the data, and ``A = F + (1 + lam^2)/2 D S^{-1}``.

    Data at a single point are reached exactly in one step, for any number of phases. This is
    DPM-Solver++'s form (Lu et al. 2022b).
    """

    def propagator(self, t: Tensor, s: Tensor) -> Tensor:
        return point_transition(self.sde, t, s, self.eta)[0]

    def constant_moment(self, t: Tensor, s: Tensor) -> Tensor:
        # Data at x stay at the mean: m_s x = T(s, t) m_t x + M_0 x.
        source, target = (self.sde.kernel(x).mean[..., None] for x in (t, s))
        return target - self.propagator(t, s) @ source

    def propagators(self, nodes: Tensor, s: Tensor) -> Tensor:
        """As products over neighbouring nodes, because each propagator is a numerical integral."""
        after = torch.cat([nodes[:, 1:], s[:, None]], 1)
        hops = self.propagator(nodes.flatten(), after.flatten()).unflatten(0, nodes.shape)
        to_end = [hops[:, -1]]
        for hop in reversed(hops.unbind(1)[:-1]):
            to_end.append(to_end[-1] @ hop)
        return torch.stack(to_end[::-1], 1)

    def rate(self, t: Tensor) -> Tensor:
        kernel, r = self.sde.kernel(t), self.sde.driven
        inverse = kernel.whiten[..., -r:, -r:].mT @ kernel.rho[..., -r:, None]
        return -self._score_weight * self.sde.diffusion(t)[..., -r:] @ inverse

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return denoise_operators(self.sde.kernel(t), self.sde.driven, self.sde.data_var())

    def noise_cov(self, t: Tensor, s: Tensor) -> Tensor:
        return point_transition(self.sde, t, s, self.eta)[1]


@dataclass(frozen=True)
class NoiseForm(Form):
    """q is the noise of all phases in the frame of R, ``R^{-1} (u - m E[x | u])``, and A = F.

    R is `sgmkit.processes.flow_factor`. This is DEIS' and DPM-Solver's form, and gDDIM's for k > 1
    (Zhang, Tao & Chen 2023, eq. 17). From a model that predicts the driven noise alone, the noise
    of the other phases follows through the predicted data.
    """

    whole = True

    def constant_moment(self, t: Tensor, s: Tensor) -> Tensor:
        source, target = (flow_factor(self.sde, x) for x in (t, s))
        return 2 * self._score_weight * (target - self.propagator(t, s) @ source)

    def rate(self, t: Tensor) -> Tensor:
        inverse = torch.linalg.inv(flow_factor(self.sde, t))
        return self._score_weight * self.sde.diffusion(t) @ inverse.mT

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
    """q is the driven noise eps_d that the network predicts, and A = F.

    For k = 1 this is `NoiseForm`. For k = 2 it is useless at few steps, because the driven noise in
    the frame of the Cholesky factor L varies faster than a polynomial can follow (Zhang, Tao & Chen
    2023, sec. 4).
    """

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return _driven(self.sde, t)


@dataclass(frozen=True)
class EquilibriumForm(Form):
    """q is the difference to the stationary law, and ``A = F + (1 + lam^2)/2 D P``.

    P is the precision of the stationary law, whose score is ``-P u``. In units of the driven noise
    ``q = eps_d - L_dd^T (P u)_d``, which vanishes at equilibrium.
    """

    @classmethod
    def supports(cls, sde: LinearSDE) -> str | None:
        if isinstance(sde, ClockedSDE) and sde.precision:
            return None
        return f"{type(sde).__name__} has no equilibrium on a clock to split off"

    def propagator(self, t: Tensor, s: Tensor) -> Tensor:
        assert isinstance(self.sde, ClockedSDE)
        return self._pulled(self.sde, self.sde.clock(s) - self.sde.clock(t))[0]

    def noise_cov(self, t: Tensor, s: Tensor) -> Tensor:
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
        return ou_transition(sign * (drift + self._score_weight * noise @ precision), noise, tau)


@dataclass(frozen=True)
class PlainForm(Form):
    """q is the velocity of the probability flow, and A = 0: nothing is integrated exactly."""

    def __post_init__(self) -> None:
        if self.eta:
            raise BadValue(f"form plain is of the probability flow: eta = 0, not {self.eta:g}")

    def propagator(self, t: Tensor, s: Tensor) -> Tensor:
        return torch.eye(self.sde.phases).to(t).expand(*t.shape, -1, -1)

    def rate(self, t: Tensor) -> Tensor:
        return self.propagator(t, t)

    def answer(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return flow_operators(self.sde, t, self.sde.kernel(t))


def _driven(sde: LinearSDE, t: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices of the answer that is eps_d itself."""
    unit = torch.eye(sde.driven).to(t).expand(*t.shape, -1, -1)
    return unit.new_zeros(*t.shape, sde.driven, sde.phases), unit


FORMS: dict[str, type[Form]] = {
    "data": DataForm,
    "noise": NoiseForm,
    "cholesky": CholeskyForm,
    "equilibrium": EquilibriumForm,
    "plain": PlainForm,
}
"""Forms by the names that solvers use in their options."""


def covariance_factor(cov: Tensor) -> Tensor:
    """A factor L with ``L L^T = cov``, ``(n, k, k)``, of the covariance of a step's noise."""
    return cov.sqrt() if cov.shape[-1] == 1 else scaled_cholesky(cov)
