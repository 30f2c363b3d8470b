"""Phase-space Langevin diffusion: noise enters the data as well as the velocity."""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE
from sgmkit.processes import Matrix
from sgmkit_sdes.phase_space import start_covariance, stationary_precision


@dataclass(frozen=True)
class PSLD(ClockedSDE):
    """``dx = (-Gx x + v/M)/2 dtau + sqrt(Gx) dw_x``, ``dv = (-x - nu v)/2 dtau + sqrt(M nu) dw_v``.

    Pandey & Mandt 2023 (their momentum m is our v), critically damped by ``nu = Gx + 2/sqrt(M)``,
    on the clock ``tau = beta t``. The velocity starts as N(0, gamma M); the stationary law is
    N(0, 1) x N(0, M). With ``Gx = 0`` it is CLD with half of its beta. Both phases of u_0 have
    ``numerical_eps`` as additional variance, as in CLD.
    """

    beta: Annotated[float, Gt(0), Doc("rate of the clock; CLD's beta is half of it")] = 8.0
    m_inv: Annotated[float, Gt(0), Doc("inverse mass 1/M")] = 4.0
    gamma_x: Annotated[float, Ge(0), Doc("friction and noise of the data; 0 is CLD")] = 0.01
    gamma: Annotated[float, Ge(0), Doc("variance of v_0, in units of M")] = 0.04
    numerical_eps: Annotated[float, Ge(0), Doc("variance added to both phases at t = 0")] = 1e-9

    phases = 2

    @property
    def driven(self) -> int:
        return 2 if self.gamma_x else 1

    @property
    def nu(self) -> float:
        """Friction of the velocity; critical damping is ``(Gx - nu)^2 = 4/M``."""
        return self.gamma_x + 2 * math.sqrt(self.m_inv)

    @property
    def drift_matrix(self) -> tuple[tuple[float, ...], ...]:
        return (-self.gamma_x / 2, self.m_inv / 2), (-0.5, -self.nu / 2)

    @property
    def noise_matrix(self) -> tuple[tuple[float, ...], ...]:
        return (self.gamma_x, 0.0), (0.0, self.nu / self.m_inv)

    @property
    def start_cov(self) -> Matrix:
        return start_covariance(self.m_inv, self.gamma, self.numerical_eps)

    @property
    def precision(self) -> Matrix:
        return stationary_precision(self.m_inv)

    def clock(self, t: Tensor) -> Tensor:
        return self.beta * t
