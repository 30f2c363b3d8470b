"""Critically-damped Langevin diffusion: noise enters the velocity only."""

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
class CLD(ClockedSDE):
    """``dx = v/M dtau``, ``dv = -(x + Gamma v/M) dtau + sqrt(2 Gamma) dw``, ``Gamma = 2 sqrt(M)``.

    Dockhorn, Vahdat & Kreis 2022, eq. 5, on the clock ``dtau = beta(t) dt`` with
    ``beta(t) = beta_0 + beta_1 t``: beta_1 is the slope, and not beta at t = 1. The velocity starts
    as N(0, gamma M); the stationary law is N(0, 1) x N(0, M). Both phases of u_0 have
    ``numerical_eps`` as additional variance, which bounds the score near t = 0: the process is an
    exact one for data blurred by so much.
    """

    beta_0: Annotated[float, Gt(0), Doc("beta at t = 0")] = 4.0
    beta_1: Annotated[float, Ge(0), Doc("slope of beta")] = 0.0
    m_inv: Annotated[float, Gt(0), Doc("inverse mass 1/M")] = 4.0
    gamma: Annotated[float, Ge(0), Doc("variance of v_0, in units of M")] = 0.04
    numerical_eps: Annotated[float, Ge(0), Doc("variance added to both phases at t = 0")] = 1e-9

    phases = 2

    @property
    def drift_matrix(self) -> tuple[tuple[float, ...], ...]:
        return (0.0, self.m_inv), (-1.0, -2 * math.sqrt(self.m_inv))

    @property
    def noise_matrix(self) -> tuple[tuple[float, ...], ...]:
        return (0.0, 0.0), (0.0, 4 / math.sqrt(self.m_inv))

    @property
    def start_cov(self) -> Matrix:
        return start_covariance(self.m_inv, self.gamma, self.numerical_eps)

    @property
    def precision(self) -> Matrix:
        return stationary_precision(self.m_inv)

    def clock(self, t: Tensor) -> Tensor:
        return t * (self.beta_0 + t * self.beta_1 / 2)
