"""The cosine schedule."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import ClockedSDE


@dataclass(frozen=True)
class Cosine(ClockedSDE):
    """VP's matrices with ``exp(-tau) = alpha_bar(t) = cos^2(theta_t) / cos^2(theta_0)``.

    Nichol & Dhariwal 2021, eq. 17, with ``theta_t = (t + s)/(1 + s) pi/2``. At t = 1 the clock is
    infinite. The published code has 1,000 steps, and clips beta in the last of them; so time ends
    at 0.999, after the last step that is not clipped, where ``alpha_bar`` is 2.4e-6.
    """

    s: Annotated[float, Gt(0), Doc("offset that keeps beta away from 0 at t = 0")] = 0.008

    horizon = 0.999
    drift_matrix = ((-0.5,),)
    noise_matrix = ((1.0,),)
    precision = ((1.0,),)

    def clock(self, t: Tensor) -> Tensor:
        # tau = -2 log(cos(theta_0 + x) / cos(theta_0)). The quotient less one is computed as
        # cos x - 1 - tan(theta_0) sin x, which keeps its digits at small t.
        x = t * (math.pi / 2 / (1 + self.s))
        slope = math.tan(self.s / (1 + self.s) * math.pi / 2)
        return -2 * torch.log1p(-2 * torch.sin(x / 2).square() - slope * torch.sin(x))
