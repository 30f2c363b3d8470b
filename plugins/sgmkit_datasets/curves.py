"""Data along curves: two moons, swiss rolls. Narrow Gaussians are threaded along each curve."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Mixture
from sgmkit_datasets.mixture import MixtureDataset, equal_mixture

Components = Annotated[int, Ge(2), Le(2000), Doc("Gaussians along each curve")]
Std = Annotated[float, Gt(0), Doc("standard deviation of each Gaussian, across and along")]


@dataclass(frozen=True)
class TwoMoons(MixtureDataset):
    """Two interleaved half circles with noise, centred, and scaled by 4/3 to span [-2, 2].

    The curves are those of scikit-learn's ``make_moons``: (cos a, sin a) and (1 - cos a, 1/2 -
    sin a) at equally spaced angles a in [0, pi], both ends included, less their common mean (1/2,
    1/4). ``components`` Gaussians on each moon make the law; with the defaults they lie 0.066
    apart, less than their standard deviation of 0.1, so the density along a moon is smooth.
    """

    components: Components = 64
    std: Std = 0.1

    def mixture(self) -> Mixture:
        """``2 components`` Gaussians of equal weight, the upper moon first."""
        angle = torch.linspace(0, math.pi, self.components, dtype=torch.float64)
        upper = torch.stack([angle.cos(), angle.sin()], dim=-1)
        lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=-1)
        centre = torch.tensor([0.5, 0.25], dtype=torch.float64)
        return equal_mixture((torch.cat([upper, lower]) - centre) * (4 / 3), self.std)


@dataclass(frozen=True)
class SwissRoll(MixtureDataset):
    """Five small swiss rolls: the multi-modal toy data of critically-damped Langevin diffusion.

    Dockhorn, Vahdat and Kreis (2022) draw scikit-learn's ``make_swiss_roll(noise=0.2)``, keep the
    two coordinates a (cos a, sin a) with a uniform in [1.5 pi, 4.5 pi], scale both by 0.01 and
    put equal copies at the origin and at (+-0.8, +-0.8). The noise becomes 0.002 per coordinate.

    Here each roll is ``components`` Gaussians of that standard deviation at equal steps of *arc
    length*, weighted by the published density along the curve (uniform in a). The default of 120
    keeps an exact score cheap, at the price of a spacing (0.0074) that exceeds the noise: at scales
    below 0.01 the law is a string of beads, where the published one is a smooth curve; 500 make
    it smooth to 0.1 %. Values are as published, so the standard deviation is 0.72, not 1.
    """

    components: Components = 120
    std: Std = 0.002

    def mixture(self) -> Mixture:
        """``5 components`` Gaussians, the roll at the origin first."""
        angle, weights = _even_arc(1.5 * math.pi, 4.5 * math.pi, self.components)
        roll = 0.01 * angle[:, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
        offsets = [(0.0, 0.0), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8)]
        centres = torch.tensor(offsets, dtype=torch.float64)
        means = (centres[:, None, :] + roll).flatten(0, 1)
        variances = torch.full_like(means, self.std**2)
        return Mixture(weights.repeat(len(offsets)) / len(offsets), means, variances)


def _even_arc(start: float, end: float, count: int) -> tuple[Tensor, Tensor]:
    """Cut the spiral radius = angle into ``count`` pieces of equal length.

    Returns the angles of their middles and the pieces' shares of [start, end], ``(count,)`` each.
    The length up to angle a is (a sqrt(1 + a^2) + asinh a) / 2; Newton's method inverts it.
    """

    def length(a: Tensor) -> Tensor:
        return (a * (1 + a * a).sqrt() + a.asinh()) / 2

    ends = torch.tensor([start, end], dtype=torch.float64)
    low, high = length(ends)
    targets = low + (high - low) * torch.linspace(0, 1, 2 * count + 1, dtype=torch.float64)
    angle = (2 * targets).sqrt()  # the length is close to a^2 / 2
    for _ in range(8):
        angle = angle - (length(angle) - targets) / (1 + angle * angle).sqrt()
    return angle[1::2], angle[::2].diff() / (end - start)
