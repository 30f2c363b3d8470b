"""Higher-order Langevin dynamics: noise reaches the data through a chain of variables."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE


def _diagonal(*entries: float) -> tuple[tuple[float, ...], ...]:
    """The diagonal matrix with these entries."""
    return tuple(tuple(x * (i == j) for j in range(len(entries))) for i, x in enumerate(entries))


@dataclass(frozen=True)
class HOLD(ClockedSDE):
    """``du_i = (g_i u_{i+1} - g_{i-1} u_{i-1}) dtau``; the last has friction xi and the noise.

    Shi & Liu 2024, on the clock ``tau = beta t``. With n the order, ``lam = sqrt(2 n - 3)``,
    ``xi = n lam`` and ``g_{n-i} = lam sqrt((n^2 - i^2) / (4 i^2 - 1))`` give critical damping,
    ``(A + lam I)^n = 0``. Order 2 is CLD of unit mass, order 3 the process of the paper (TOLD). The
    stationary law is ``N(0, 1/L)`` in every phase; all phases but the data start as N(0, gamma/L).
    All phases of u_0 have ``numerical_eps`` as additional variance, as in CLD.
    """

    order: Annotated[int, Ge(2), Doc("number of phases: the data and its chain")] = 3
    beta: Annotated[float, Gt(0), Doc("rate of the clock")] = 6.0
    l_inv: Annotated[float, Gt(0), Doc("1/L, the stationary variance of every phase")] = 1.0
    gamma: Annotated[float, Ge(0), Doc("variance of the chain at t = 0, in units of 1/L")] = 0.04
    numerical_eps: Annotated[float, Ge(0), Doc("variance added to all phases at t = 0")] = 1e-9

    @property
    def phases(self) -> int:
        return self.order

    @property
    def couplings(self) -> tuple[float, ...]:
        """``g_1 .. g_{n-1}``, from the data to the end of the chain."""
        n, lam = self.order, math.sqrt(2 * self.order - 3)
        return tuple(lam * math.sqrt((n**2 - i**2) / (4 * i**2 - 1)) for i in range(n - 1, 0, -1))

    @property
    def friction(self) -> float:
        """xi, the friction of the last phase."""
        return self.order * math.sqrt(2 * self.order - 3)

    @property
    def drift_matrix(self) -> tuple[tuple[float, ...], ...]:
        rows = [[0.0] * self.order for _ in range(self.order)]
        for (i, j), g in zip(pairwise(range(self.order)), self.couplings, strict=True):
            rows[i][j], rows[j][i] = g, -g
        rows[-1][-1] = -self.friction
        return tuple(map(tuple, rows))

    @property
    def noise_matrix(self) -> tuple[tuple[float, ...], ...]:
        return _diagonal(*[0.0] * (self.order - 1), 2 * self.friction * self.l_inv)

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        eps = self.numerical_eps
        return _diagonal(eps, *[self.gamma * self.l_inv + eps] * (self.order - 1))

    @property
    def precision(self) -> tuple[tuple[float, ...], ...]:
        return _diagonal(*[1 / self.l_inv] * self.order)

    def clock(self, t: Tensor) -> Tensor:
        return self.beta * t
