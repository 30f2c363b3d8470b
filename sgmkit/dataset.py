"""What a data set is: a law to draw from, with its event shape and the likelihood it calls for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from sgmkit.noise import Noise

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Batch:
    """Clean data: ``x (n, *event)``, labels ``y (n,)`` or None, and ``ids (n,)`` of the items."""

    x: Tensor
    y: Tensor | None
    ids: Tensor


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with diagonal covariances: the exact law of some data sets.

    Args:
        weights: ``(J,)``, positive, summing to one.
        means: ``(J, *event)``.
        variances: ``(J, *event)``, or anything that broadcasts against ``means``; not negative.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor


class Dataset(ABC):
    """Clean tensors of one event shape, with a fixed split into train and test."""

    event: tuple[int, ...]
    likelihood: ClassVar[Literal["bernoulli", "discretised", "continuous"]] = "continuous"
    """What the data calls for: Bernoulli pixels, dequantised integer levels, or a density."""
    value_range: ClassVar[tuple[float, float] | None] = None
    """Closed interval that every value lies in, or None where the law has unbounded support."""

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Number of items in ``split``; None where every draw is fresh (an explicit law)."""

    @abstractmethod
    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` items of ``split``.

        A finite data set returns distinct items, in a random order that ``noise`` decides, and
        raises `sgmkit.errors.BadValue` when ``n`` exceeds ``size(split)``.
        """

    def items(self, split: Split) -> Batch | None:
        """All items of ``split`` in their fixed order; None where every draw is fresh."""
        return None

    def mixture(self) -> Mixture | None:
        """The exact law, where it is a Gaussian mixture; None where it is known by items only."""
        return None
