"""Variance-exploding processes: noise is added, and the data are not scaled."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE


@dataclass(frozen=True)
class VE(ClockedSDE):
    """``du = sqrt(d sigma^2/dt) dw``, ``sigma(t) = sigma_min (sigma_max/sigma_min)^t``.

    Song et al. 2021, eq. 9. The variance of ``u_0`` given the data is ``sigma_min^2``.
    """

    sigma_min: Annotated[float, Gt(0), Doc("standard deviation at t = 0")] = 0.01
    sigma_max: Annotated[float, Gt(0), Doc("standard deviation at t = 1")] = 50.0

    drift_matrix = ((0.0,),)
    noise_matrix = ((1.0,),)
    precision = ((0.0,),)

    def __post_init__(self) -> None:
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"sigma_max = {self.sigma_max} must exceed sigma_min")

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        return ((self.sigma_min**2,),)

    def clock(self, t: Tensor) -> Tensor:
        ratio = math.log(self.sigma_max / self.sigma_min)
        return self.sigma_min**2 * torch.expm1(2 * t * ratio)


@dataclass(frozen=True)
class EDM(ClockedSDE):
    """``du = sqrt(2 t) dw``: time is the noise level, ``sigma(t) = t`` (Karras et al. 2022)."""

    sigma_max: Annotated[float, Gt(0), Doc("noise level at the horizon")] = 80.0

    drift_matrix = ((0.0,),)
    noise_matrix = ((1.0,),)
    precision = ((0.0,),)
    t_min = 0.002

    @property
    def horizon(self) -> float:
        return self.sigma_max

    def clock(self, t: Tensor) -> Tensor:
        return t.square()
