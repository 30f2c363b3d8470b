"""Data that consists of separate patches: eight Gaussians, a checkerboard."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from typing_extensions import Doc

from sgmkit.data import Mixture
from sgmkit_datasets.mixture import MixtureDataset, equal_mixture


@dataclass(frozen=True)
class EightGaussians(MixtureDataset):
    """Eight Gaussians of equal weight on a circle, the first at angle 0.

    Each coordinate has variance radius^2 / 2 + std^2: close to one with the defaults.
    """

    radius: Annotated[float, Gt(0), Doc("distance of the modes from the origin")] = 1.4
    std: Annotated[float, Gt(0), Doc("standard deviation of each mode")] = 0.1

    def mixture(self) -> Mixture:
        """Eight components, ``means (8, 2)``."""
        angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        means = self.radius * torch.stack([angles.cos(), angles.sin()], dim=-1)
        return equal_mixture(means, self.std)


@dataclass(frozen=True)
class Checkerboard(MixtureDataset):
    """Every other square of a 4 x 4 board over [-2, 2]^2; the corner at (-2, -2) is empty.

    Each unit square is a grid of 8 x 8 equal Gaussians, 512 in all. Their standard deviation is
    0.6 of their spacing: by Poisson summation the density then ripples by 2 exp(-2 pi^2 0.6^2) =
    0.2 % per axis inside a square, and its edges are 0.075 wide.
    """

    def mixture(self) -> Mixture:
        """512 components, ``means (512, 2)``."""
        side = 8
        spacing = 1.0 / side
        inner = (torch.arange(side, dtype=torch.float64) + 0.5) * spacing
        corners = torch.tensor(
            [(i - 2.0, j - 2.0) for i in range(4) for j in range(4) if (i + j) % 2],
            dtype=torch.float64,
        )
        means = corners[:, None, :] + torch.cartesian_prod(inner, inner)
        return equal_mixture(means.flatten(0, 1), 0.6 * spacing)
