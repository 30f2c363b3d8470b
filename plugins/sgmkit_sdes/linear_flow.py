"""The straight path of flow matching."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ScheduleSDE


@dataclass(frozen=True)
class LinearFlow(ScheduleSDE):
    """``u_t = (1 - t) x + (sigma_min + (1 - sigma_min) t) eps``, data at t = 0.

    Lipman et al. 2023, eq. 22 (their time is 1 - t); with sigma_min = 0 the rectified flow of Liu,
    Gong & Liu 2023, whose probability flow has the velocity ``E[eps - x | u_t]``. At t = 1 nothing
    is left of the data, and F and D are infinite: time ends at 0.999, where the signal-to-noise
    ratio is 1e-6.
    """

    sigma_min: Annotated[float, Ge(0), Lt(1), Doc("standard deviation of u_0 given x")] = 0.0

    horizon = 0.999

    @property
    def start_cov(self) -> tuple[tuple[float, ...], ...]:
        return ((self.sigma_min**2,),)

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min + (1 - self.sigma_min) * t
