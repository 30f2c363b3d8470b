"""What a data set is: clean data of one shape, in two splits, and what a value of it means."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sgmkit.errors import BadValue
from sgmkit.noise import Noise

Split = Literal["train", "test"]
"""One of the two parts of every data set."""
ValueLaw = Literal["bernoulli", "discretised", "continuous"]
"""What a value of the data is, and so which likelihood suits it: -1 or 1, one of a few evenly
spaced levels, or a real number."""


@dataclass(frozen=True)
class Batch:
    """Some items of a data set.

    Args:
        x: the data, ``(n, *event)``, floating.
        y: labels, ``(n,)``, or None if the data set has no labels.
        ids: a number for each item, ``(n,)`` int64; the same item has the same number everywhere.
    """

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
    """Clean data of one event shape, with a fixed split into train and test.

    There are two sorts. A *finite* data set is a list of items: it defines `size`, `draw` and
    `items` (or, if all items together are too large for memory, `pick` instead of `items`). An
    *explicit law* has no items, every draw is fresh: it defines `size` (returning None), `draw`
    and, if the law is a Gaussian mixture, `mixture`.

    Training calls `take`, or `draw` if there are no items; evaluation calls `draw` and `items`.
    Options that make a value random, such as flips or dequantisation, act in `take` alone.

    Attributes:
        event: shape of one item.
        likelihood: what the values are that `take` returns, and so the likelihood that suits them.
            "bernoulli": -1 or 1, drawn anew at every access from greys that are probabilities (see
            `binarise`). "discretised": evenly spaced levels. "continuous": real numbers, which may
            be dequantised levels (see `dequantise`).
        value_range: closed interval that holds every value, or None if there are no bounds.
        levels: number of levels of the values that `items` and `draw` return, evenly spaced over
            `value_range` with both ends included; None if the values are not discrete.
    """

    event: tuple[int, ...]
    likelihood: ValueLaw = "continuous"
    value_range: ClassVar[tuple[float, float] | None] = None
    levels: ClassVar[int | None] = None

    @property
    def level_width(self) -> float | None:
        """Distance between neighbouring levels, in data units; None if there are no levels."""
        if self.levels is None or self.value_range is None:
            return None
        low, high = self.value_range
        return (high - low) / (self.levels - 1)

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Number of items in ``split``; None if every draw is fresh."""

    @abstractmethod
    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` items of ``split`` at random; all randomness comes from ``noise``.

        The items of a finite data set are distinct.

        Raises:
            BadValue: if ``n`` exceeds the size of a finite split.
        """

    def items(self, split: Split) -> Batch | None:
        """All items of ``split``, always in the same order; None if every draw is fresh."""
        return None

    def pick(self, split: Split, index: Tensor) -> Batch:
        """The items at the positions ``index (n,)`` int64 in the order of `items`.

        Positions may repeat. Override this if the data is better read in pieces than at once.

        Raises:
            BadValue: for a position that does not exist, or if every draw is fresh.
        """
        items, description = self.items(split), f"{split} items of {type(self).__name__}"
        if items is None:
            raise BadValue(f"cannot take {description}: every draw is fresh; draw them instead")
        check_positions(index, len(items.x), description)
        y = None if items.y is None else items.y[index]
        return Batch(items.x[index], y, items.ids[index])

    def take(self, split: Split, index: Tensor, noise: Noise) -> Batch:
        """The items at the positions ``index (n,)`` int64, as training sees them.

        This differs from `pick` by what the options of the data set make random: flips,
        binarisation, dequantisation. The random numbers come from ``noise``, which has one sample
        id for each position. Positions may repeat.

        Raises:
            BadValue: for a position that does not exist, or if every draw is fresh.
        """
        return self.pick(split, index)

    def mixture(self) -> Mixture | None:
        """The exact law if it is a Gaussian mixture, else None."""
        return None


def check_positions(index: Tensor, size: int, description: str) -> None:
    """Raise `BadValue` unless ``index`` is ``(n,)`` int64 with values in [0, ``size``).

    Args:
        index: the positions.
        size: number of items.
        description: of the items, for the message: "train items of Digits".
    """
    if index.dtype != torch.int64 or index.ndim != 1:
        actual = f"{tuple(index.shape)} {index.dtype}"
        raise BadValue(f"positions of {description} must be (n,) torch.int64, not {actual}")
    outside = index[(index < 0) | (index >= size)]
    if len(outside):
        raise BadValue(
            f"cannot take {description} at {int(outside[0])}; positions are 0 to {size - 1}"
        )


def dequantise(x: Tensor, width: float, noise: Noise) -> Tensor:
    """Spread ``x (n, *event)`` uniformly over the cells of its levels, which are ``width`` wide.

    The density of the result, integrated over a cell, is a probability of the level. By Jensen's
    inequality its expected negative logarithm is an upper bound of that of the level (Theis, van
    den Oord and Bethge 2016, eq. 7).
    """
    u = noise.uniform(torch.empty_like(x))
    return x + width * (u - 0.5)


def binarise(x: Tensor, noise: Noise) -> Tensor:
    """Draw pixels -1 and 1, with P(1) = (x + 1) / 2, from greys ``x (n, *event)`` in [-1, 1].

    They are drawn anew at every access, for training and for test items, as in Burda, Grosse and
    Salakhutdinov (2016, sec. 5.1) and in most later work on binarised digits.
    """
    u = noise.uniform(torch.empty_like(x))
    return torch.where(u < (x + 1) / 2, 1.0, -1.0).to(x)
