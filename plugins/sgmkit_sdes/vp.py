"""Variance-preserving processes: data of variance one keep it, or less of it (sub-VP)."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE, ScheduleSDE

BetaMin = Annotated[float, Gt(0), Doc("beta at t = 0")]
BetaMax = Annotated[float, Gt(0), Doc("beta at t = 1")]


def _beta_integral(beta_min: float, beta_max: float, t: Tensor) -> Tensor:
    """Integral of ``beta(t) = beta_min + (beta_max - beta_min) t`` from 0 to t."""
    return t * (beta_min + t * (beta_max - beta_min) / 2)


@dataclass(frozen=True)
class VP(ClockedSDE):
    """``du = -beta(t)/2 u dt + sqrt(beta(t)) dw`` with beta linear in t (Song et al. 2021, eq. 11).

    The clock is the integral of beta from 0 to t; the stationary law is N(0, 1).
    """

    beta_min: BetaMin = 0.1
    beta_max: BetaMax = 20.0
    sigma2_0: Annotated[float, Ge(0), Doc("variance of u_0 given the data")] = 0.0

    drift_matrix = ((-0.5,),)
    noise_matrix = ((1.0,),)
    precision = ((1.0,),)

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        return ((self.sigma2_0,),)

    def clock(self, t: Tensor) -> Tensor:
        return _beta_integral(self.beta_min, self.beta_max, t)


@dataclass(frozen=True)
class Geometric(ClockedSDE):
    """VP's matrices on a clock for which the variance grows geometrically (LSGM, app. B).

    ``sigma_t^2 = sigma2_min (sigma2_max/sigma2_min)^t - sigma2_min + sigma2_0``, an exponential
    in t for the default ``sigma2_0 = sigma2_min``. beta reaches 1e4 at t = 1.
    """

    sigma2_min: Annotated[float, Gt(0), Doc("smallest variance")] = 3e-5
    sigma2_max: Annotated[float, Gt(0), Doc("largest variance, below one")] = 0.999
    sigma2_0: Annotated[float, Ge(0), Doc("variance of u_0 given the data")] | None = None

    drift_matrix = ((-0.5,),)
    noise_matrix = ((1.0,),)
    precision = ((1.0,),)

    def __post_init__(self) -> None:
        if self.sigma2_max <= self.sigma2_min:
            raise ValueError(f"sigma2_max = {self.sigma2_max} must exceed sigma2_min")
        if self._start + self.sigma2_max - self.sigma2_min >= 1:
            raise ValueError("sigma2_0 + sigma2_max - sigma2_min must stay below 1")

    @property
    def _start(self) -> float:
        return self.sigma2_min if self.sigma2_0 is None else self.sigma2_0

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        return ((self._start,),)

    def clock(self, t: Tensor) -> Tensor:
        growth = torch.expm1(t * math.log(self.sigma2_max / self.sigma2_min))
        return -torch.log1p(-self.sigma2_min * growth / (1 - self._start))


@dataclass(frozen=True)
class SubVP(ScheduleSDE):
    """Sub-VP: VP's mean, and a standard deviation that is VP's variance (Song et al. 2021, eq. 13).

    With ``sigma2_0`` the variance of u_0, which shrinks as the mean does, is added.
    """

    beta_min: BetaMin = 0.1
    beta_max: BetaMax = 20.0
    sigma2_0: Annotated[float, Ge(0), Doc("variance of u_0 given the data")] = 0.0

    precision = ((1.0,),)

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        return ((self.sigma2_0,),)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-_beta_integral(self.beta_min, self.beta_max, t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        grown = -torch.expm1(-_beta_integral(self.beta_min, self.beta_max, t))
        if not self.sigma2_0:
            return grown
        return torch.hypot(grown, math.sqrt(self.sigma2_0) * self.alpha(t))
