"""What a data set is: a law to draw from, with its event shape and the likelihood it calls for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.noise import Noise

Split = Literal["train", "test"]
Values = Literal["bernoulli", "discretised", "continuous"]


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
    likelihood: Values = "continuous"
    """What training takes, and a likelihood is of: -1 and 1, drawn anew from greys at every access;
    evenly spaced levels; or real numbers, among them levels that are dequantised."""
    value_range: ClassVar[tuple[float, float] | None] = None
    """Closed interval that every value lies in, or None where the law has unbounded support."""
    levels: ClassVar[int | None] = None
    """Number of levels of what `items` and `draw` give, evenly spaced over `value_range` with its
    ends; None where that is not discretised."""

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

        Positions may repeat. What the options of a data set make of an item, flips, binarisation
        and dequantisation, is drawn from ``noise``, which has one sample id per position; without
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


def binarise(x: Tensor, noise: Noise) -> Tensor:
    """Pixels -1 and 1, drawn with ``P(1) = (x + 1) / 2`` from greys ``x (n, *event)`` in [-1, 1].

    Drawn anew at every access, for training and for test items, as in Burda, Grosse and
    Salakhutdinov (2016, sec. 5.1) and most later work on binarised digits.
    """
    return torch.where(noise.uniform(torch.empty_like(x)) < (x + 1) / 2, 1.0, -1.0).to(x)
