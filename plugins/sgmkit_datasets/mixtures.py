"""Two-dimensional toy data, each an exact Gaussian mixture: its density and score are known."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Batch, Dataset, Mixture, Split
from sgmkit.errors import BadValue
from sgmkit.noise import Noise

Components = Annotated[int, Ge(2), Le(2000), Doc("number of Gaussians along each curve")]
Std = Annotated[float, Gt(0), Doc("standard deviation of each Gaussian, in every direction")]


class MixtureDataset(Dataset):
    """Fresh draws from a 2-D Gaussian mixture with diagonal covariances.

    The mixture is the definition of the data, not an approximation of another law: samples from
    the exact score of `mixture` and points from `draw` differ by chance alone. Every draw is
    fresh, so the splits have no size. ``train`` and ``test`` read different streams of the noise:
    from one noise object they draw independent points.

    A subclass defines `mixture`; that is all it needs.
    """

    event = (2,)

    @abstractmethod
    def mixture(self) -> Mixture:
        """The law: ``weights (J,)``, ``means (J, 2)``, ``variances (J, 2)``, all float64."""

    def size(self, split: Split) -> None:
        """None: every draw is fresh."""
        return None

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` points ``x (n, 2)``, float32; their ids are the sample ids of the noise.

        One uniform number picks the component, by the inverse of the cumulative weights; one
        normal number for each coordinate gives the point. Both are computed in float64.
        """
        if n < 1:
            raise BadValue(f"cannot draw {n} points; ask for at least 1")
        law, source = self.mixture(), noise.stream(split)
        like = torch.empty(n, *self.event, dtype=torch.float64)
        uniform = source.uniform(like[:, 0])
        # The cumulative sum may end a rounding error below 1: without its last entry, everything
        # above the last edge belongs to the last component.
        edges = law.weights.cumsum(0)[:-1]
        component = torch.searchsorted(edges, uniform, right=True)
        x = law.means[component] + law.variances.sqrt()[component] * source(like)
        return Batch(x.float(), None, source.ids)


@dataclass(frozen=True)
class EightGaussians(MixtureDataset):
    """Eight Gaussians of equal weight on a circle around the origin, the first at angle 0.

    Each coordinate has variance radius^2 / 2 + std^2, which is close to one with the defaults.
    """

    radius: Annotated[float, Gt(0), Doc("distance of the eight means from the origin")] = 1.4
    std: Annotated[float, Gt(0), Doc("standard deviation of each Gaussian")] = 0.1

    def mixture(self) -> Mixture:
        """Eight components, ``means (8, 2)``."""
        angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        means = self.radius * torch.stack([angles.cos(), angles.sin()], dim=-1)
        return _equal_mixture(means, self.std)


@dataclass(frozen=True)
class Checkerboard(MixtureDataset):
    """Every other square of a 4 x 4 board over [-2, 2]^2; the square at (-2, -2) is empty.

    Each unit square holds a grid of 8 x 8 equal Gaussians, 512 in all. Their standard deviation is
    0.6 of their spacing: by Poisson summation the density then ripples by 2 exp(-2 pi^2 0.6^2) =
    0.2 % per axis inside a square, and the edges of a square are 0.075 wide.
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
        return _equal_mixture(means.flatten(0, 1), 0.6 * spacing)


@dataclass(frozen=True)
class TwoMoons(MixtureDataset):
    """Two interleaved half circles with noise, centred, and scaled by 4/3 to span [-2, 2].

    The curves are those of scikit-learn's ``make_moons``: (cos a, sin a) and (1 - cos a, 1/2 -
    sin a) at equally spaced angles a in [0, pi], both ends included, less their common mean (1/2,
    1/4). ``components`` Gaussians lie on each moon. With the defaults they are 0.066 apart, less
    than their standard deviation of 0.1, so the density along a moon is smooth.
    """

    components: Components = 64
    std: Std = 0.1

    def mixture(self) -> Mixture:
        """``2 * components`` Gaussians of equal weight, the upper moon first."""
        angle = torch.linspace(0, math.pi, self.components, dtype=torch.float64)
        upper = torch.stack([angle.cos(), angle.sin()], dim=-1)
        lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=-1)
        centre = torch.tensor([0.5, 0.25], dtype=torch.float64)
        return _equal_mixture((torch.cat([upper, lower]) - centre) * (4 / 3), self.std)


@dataclass(frozen=True)
class SwissRoll(MixtureDataset):
    """Five small swiss rolls: the multi-modal toy data of critically-damped Langevin diffusion.

    Dockhorn, Vahdat and Kreis (2022) draw scikit-learn's ``make_swiss_roll(noise=0.2)``, keep the
    two coordinates a (cos a, sin a) with a uniform in [1.5 pi, 4.5 pi], scale both by 0.01 and
    put equal copies at the origin and at (+-0.8, +-0.8). The noise becomes 0.002 per coordinate.

    Here each roll is ``components`` Gaussians of that standard deviation at equal steps of *arc
    length*, weighted by the published density along the curve (uniform in a). The default of 120
    keeps an exact score cheap, at the price of a spacing (0.0074) that exceeds the noise: at scales
    below 0.01 the law is a string of beads, where the published one is a smooth curve. With 500
    components it is smooth to 0.1 %. The scale is the published one, so each coordinate has a
    standard deviation of 0.72, not 1.
    """

    components: Components = 120
    std: Std = 0.002

    def mixture(self) -> Mixture:
        """``5 * components`` Gaussians, the roll at the origin first."""
        angle, weights = _equal_arcs(1.5 * math.pi, 4.5 * math.pi, self.components)
        roll = 0.01 * angle[:, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
        offsets = [(0.0, 0.0), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8)]
        centres = torch.tensor(offsets, dtype=torch.float64)
        means = (centres[:, None, :] + roll).flatten(0, 1)
        variances = torch.full_like(means, self.std**2)
        return Mixture(weights.repeat(len(offsets)) / len(offsets), means, variances)


def _equal_mixture(means: Tensor, std: float) -> Mixture:
    """Gaussians at ``means (J, 2)``, of equal weight and of one standard deviation."""
    weights = torch.full((len(means),), 1.0 / len(means), dtype=torch.float64)
    return Mixture(weights, means, torch.full_like(means, std**2))


def _equal_arcs(start: float, end: float, count: int) -> tuple[Tensor, Tensor]:
    """Cut the spiral (radius = angle) from ``start`` to ``end`` into arcs of equal length.

    Returns:
        The angle at the middle of each of the ``count`` arcs, and the share of [start, end] that
        its angles take, ``(count,)`` each.
    """

    def length(a: Tensor) -> Tensor:
        """Arc length of the spiral up to angle a: (a sqrt(1 + a^2) + asinh a) / 2."""
        return (a * (1 + a * a).sqrt() + a.asinh()) / 2

    ends = torch.tensor([start, end], dtype=torch.float64)
    low, high = length(ends)
    targets = low + (high - low) * torch.linspace(0, 1, 2 * count + 1, dtype=torch.float64)
    # Newton's method solves length(a) = target; the length is close to a^2 / 2, its derivative is
    # sqrt(1 + a^2).
    angle = (2 * targets).sqrt()
    for _ in range(8):
        angle = angle - (length(angle) - targets) / (1 + angle * angle).sqrt()
    return angle[1::2], angle[::2].diff() / (end - start)
