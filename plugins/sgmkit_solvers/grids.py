"""Time grids: rules that place the times of a number of steps."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Grid, LinearSDE
from sgmkit.processes import time_at_snr


def _fractions(steps: int) -> Tensor:
    """0, 1/steps, ..., 1."""
    return torch.arange(steps + 1, dtype=torch.float64) / steps


@dataclass(frozen=True)
class Uniform(Grid):
    """Equal steps in t."""

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        return sde.horizon + (t_min - sde.horizon) * _fractions(steps)


@dataclass(frozen=True)
class Quadratic(Grid):
    """``t_i = t_min + (T - t_min) (1 - i/n)^2``: quadratic striding (Dockhorn et al. 2022)."""

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        return t_min + (sde.horizon - t_min) * (1 - _fractions(steps)).square()


@dataclass(frozen=True)
class Karras(Grid):
    """Equal steps in ``sigma^{1/rho}`` (Karras et al. 2022, eq. 5).

    The noise level sigma is one over the root of the signal-to-noise ratio: sigma itself for VE and
    EDM, sigma/alpha for VP.
    """

    rho: Annotated[float, Gt(0), Doc("a larger rho puts more steps near the data")] = 7.0

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        ends = torch.tensor([sde.horizon, t_min], dtype=torch.float64)
        high, low = sde.kernel(ends).snr.pow(-0.5 / self.rho)
        sigma = (high + _fractions(steps) * (low - high)).pow(self.rho)
        return time_at_snr(sde, -2 * sigma.log(), t_min)


@dataclass(frozen=True)
class LogSNR(Grid):
    """Equal steps in the log signal-to-noise ratio."""

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        ends = torch.tensor([sde.horizon, t_min], dtype=torch.float64)
        low, high = sde.kernel(ends).snr.log()
        return time_at_snr(sde, low + _fractions(steps) * (high - low), t_min)


@dataclass(frozen=True)
class PolyExponential(Grid):
    """Steps in the log noise level that shrink towards the data.

    The log noise level of time i is ``(1 - i/n)^rho`` of its range above the lowest. This is
    k-diffusion's polyexponential schedule; rho = 1 is `LogSNR`.
    """

    rho: Annotated[float, Gt(0), Doc("a larger rho puts more steps near the data")] = 1.3

    def times(self, sde: LinearSDE, steps: int, t_min: float) -> Tensor:
        ends = torch.tensor([sde.horizon, t_min], dtype=torch.float64)
        low, high = sde.kernel(ends).snr.log()
        ramp = (1 - _fractions(steps)).pow(self.rho)
        return time_at_snr(sde, high + ramp * (low - high), t_min)
