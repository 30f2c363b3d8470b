"""What a data set is: a law to draw from, with its event shape and the likelihood it calls for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sgmkit.errors import BadValue
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
    levels: ClassVar[int | None] = None
    """Number of grey levels of discretised data, evenly spaced over `value_range` with its ends."""

    @property
    def level_width(self) -> float | None:
        """Distance of two neighbouring levels, in data units; None where there are none."""
        if self.levels is None or self.value_range is None:
            return None
        low, high = self.value_range
        return (high - low) / (self.levels - 1)

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

    def pick(self, split: Split, index: Tensor) -> Batch:
        """The items at ``index (n,)`` int64 of the fixed order, as they are; some may repeat.

        For data that is better read in pieces than at once, as `items` does. Raises
        `sgmkit.errors.BadValue` for a position that is none, and where every draw is fresh.
        """
        items, what = self.items(split), f"{split} items of {type(self).__name__}"
        if items is None:
            raise BadValue(f"cannot take {what}: every draw is fresh; draw them instead")
        check_positions(index, len(items.x), what)
        y = None if items.y is None else items.y[index]
        return Batch(items.x[index], y, items.ids[index])

    def take(self, split: Split, index: Tensor, noise: Noise) -> Batch:
        """The items at ``index (n,)`` int64 of the fixed order, as training sees them.

        Positions may repeat. What the options of a data set make of an item, flips and
        dequantisation, is drawn from ``noise``, which has one sample id per position; without
        such options ``x (n, *event)`` is that of `items`. Raises `sgmkit.errors.BadValue` for a
        position that is none, and where every draw is fresh: call `draw` there.
        """
        return self.pick(split, index)

    def mixture(self) -> Mixture | None:
        """The exact law, where it is a Gaussian mixture; None where it is known by items only."""
        return None


def check_positions(index: Tensor, size: int, what: str) -> None:
    """Raise `BadValue` unless ``index`` is ``(n,)`` int64 with numbers in [0, ``size``)."""
    if index.dtype != torch.int64 or index.ndim != 1:
        found = f"{tuple(index.shape)} {index.dtype}"
        raise BadValue(f"positions of {what} must be (n,) torch.int64, not {found}")
    wrong = index[(index < 0) | (index >= size)]
    if len(wrong):
        raise BadValue(f"cannot take {what} at {int(wrong[0])}; positions are 0 to {size - 1}")


def dequantise(x: Tensor, width: float, noise: Noise) -> Tensor:
    """``x (n, *event)`` spread uniformly over the cell of its level: ``x + width (u - 1/2)``.

    The density of the result, integrated over a cell, is a probability of the level: its negative
    logarithm bounds that of the level from above (Theis, van den Oord and Bethge 2016, eq. 7).
    """
    return x + width * (noise.uniform(torch.empty_like(x)) - 0.5)
