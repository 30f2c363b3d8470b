"""The base of all data sets of images: splits, draws, flips, binarisation and dequantisation."""

import hashlib
import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Batch, Dataset, Split, ValueLaw, binarise, check_positions, dequantise
from sgmkit.errors import BadValue
from sgmkit.noise import Noise
from sgmkit.processes import over_event

Flip = Annotated[bool, Doc("in training, mirror each image left to right with probability 1/2")]
Dequantise = Annotated[
    bool, Doc("in training, spread each value uniformly over the cell of its grey level")
]
Binarise = Annotated[
    bool, Doc("in training, draw each pixel anew as -1 or 1, the grey being the probability of 1")
]


class ImageDataset(Dataset):
    """A fixed number of images whose integer levels 0, 1, ..., L - 1 become -1, ..., 1.

    A subclass defines the ids of each split, and the levels and labels of given ids. The options
    act in `take` alone, which training calls: `items` and `draw`, which evaluation calls, return
    the grey levels as they are. So features of binarised data are those of the greys (which are the
    probabilities), as the features of a model's samples are those of its decoder's means. A
    dequantised value lies outside `value_range` by up to half a level.
    """

    value_range = (-1.0, 1.0)
    levels: ClassVar[int] = 256
    flip: bool
    dequantise: bool
    binarise: bool = False

    @property
    def likelihood(self) -> ValueLaw:
        """``bernoulli`` if binarised, ``continuous`` if dequantised, else ``discretised``."""
        if self.binarise:
            return "bernoulli"
        return "continuous" if self.dequantise else "discretised"

    @abstractmethod
    def _ids(self, split: Split) -> Tensor:
        """Ids of the images of ``split``, ascending int64; no id is in both splits."""

    @abstractmethod
    def _pixels(self, ids: Tensor) -> Tensor:
        """Levels of the images with these ids ``(n,)``, which may repeat: ``(n, *event)`` uint8."""

    @abstractmethod
    def _labels(self, ids: Tensor) -> Tensor | None:
        """Labels of the images with these ids, ``(n,)`` int64, or None if there are no labels."""

    def size(self, split: Split) -> int:
        """Number of images in ``split``."""
        return len(self._ids(split))

    def items(self, split: Split) -> Batch:
        """All images of ``split``, ``x (size, *event)`` float32, in ascending order of their ids.

        All of them are in memory at once, four bytes for each value.
        """
        return self._batch(self._ids(split))

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` distinct images, ``x (n, *event)``, in a random order.

        This is a Fisher-Yates shuffle stopped after ``n`` images, with one uniform number for each.
        So from the same noise, a smaller draw is the beginning of a larger one.
        """
        pool = self._ids(split).tolist()
        if not 1 <= n <= len(pool):
            name = type(self).__name__.lower()
            raise BadValue(
                f"cannot draw {n} distinct {split} items of {name}; ask for 1 to {len(pool)}"
            )
        uniform = noise.stream(split).uniform(torch.empty(n, dtype=torch.float64))
        for place, u in enumerate(uniform.tolist()):
            other = place + int(u * (len(pool) - place))
            pool[place], pool[other] = pool[other], pool[place]
        return self._batch(torch.tensor(pool[:n]))

    def pick(self, split: Split, index: Tensor) -> Batch:
        """The images at the positions ``index (n,)`` int64; no others are read."""
        ids = self._ids(split)
        check_positions(index, len(ids), f"{split} items of {type(self).__name__.lower()}")
        return self._batch(ids[index])

    def take(self, split: Split, index: Tensor, noise: Noise) -> Batch:
        """The images at the positions ``index (n,)`` int64, as the options change them.

        Flips, binarisation and dequantisation read streams of the noise of their own ("flip",
        "binarise", "dequantise"), so one option does not change the random numbers of another.
        """
        batch = self.pick(split, index)
        x = batch.x
        if self.flip:
            mirrored = noise.stream("flip").uniform(torch.empty(len(x))) < 0.5
            x = torch.where(over_event(mirrored, x), x.flip(-1), x)
        if self.binarise:
            x = binarise(x, noise.stream("binarise"))
        if self.dequantise:
            x = dequantise(x, 2 / (self.levels - 1), noise.stream("dequantise"))
        return Batch(x, batch.y, batch.ids)

    def _check_options(self) -> None:
        """Raise `BadValue` for options that exclude each other; every constructor calls this."""
        if self.binarise and self.dequantise:
            raise BadValue(
                "binarise and dequantise exclude each other: one makes a pixel -1 or 1, the other "
                "a real number"
            )

    def _batch(self, ids: Tensor) -> Batch:
        """The images with these ids: level l of L becomes x = 2 l / (L - 1) - 1."""
        x = self._pixels(ids).to(torch.float32).div_((self.levels - 1) / 2).sub_(1)
        return Batch(x, self._labels(ids), ids)


def split_by_digest(names: Sequence[str], test_items: int) -> dict[Split, Tensor]:
    """The positions in ``names`` that belong to each split, ascending.

    The ``test_items`` names with the smallest SHA-256 digests are ``test``: as good as a random
    split, and the same everywhere.
    """
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(os.fsencode(names[i])).digest())
    parts: dict[Split, list[int]] = {"test": order[:test_items], "train": order[test_items:]}
    return {split: torch.tensor(sorted(positions)) for split, positions in parts.items()}
