"""Images that are items: one way of splitting, drawing, flipping, binarising, dequantising."""

import hashlib
import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Batch, Dataset, Split, Values, binarise, check_positions, dequantise
from sgmkit.errors import BadValue
from sgmkit.noise import Noise

Flip = Annotated[bool, Doc("training sees each item, or its mirror image, with equal chance")]
Dequantise = Annotated[bool, Doc("training sees values spread evenly over the cell of their level")]
Binarise = Annotated[bool, Doc("training sees -1 or 1, drawn anew with the grey's probability")]


class ItemDataset(Dataset):
    """A fixed number of images of integer levels 0, 1, ..., which become -1, ..., 1.

    A subclass says which items a split has, and gives their levels and labels. Only `take` flips,
    binarises and dequantises, and a dequantised value leaves `value_range` by up to half a level:
    `items` and `draw`, which serve evaluation, return the data as they are. For binarised data
    these are probabilities: features are compared with those of decoder means, not of draws.
    """

    value_range = (-1.0, 1.0)
    levels: ClassVar[int] = 256
    flip: bool
    dequantise: bool
    binarise: bool = False

    @property
    def likelihood(self) -> Values:
        """``bernoulli`` where binarised, ``continuous`` where dequantised, else ``discretised``."""
        if self.binarise:
            return "bernoulli"
        return "continuous" if self.dequantise else "discretised"

    @abstractmethod
    def _ids(self, split: Split) -> Tensor:
        """Ids of the items of ``split``, ascending int64; no id is in two splits."""

    @abstractmethod
    def _pixels(self, ids: Tensor) -> Tensor:
        """Levels of these items, ``(n, *event)`` uint8, for ids ``(n,)`` that may repeat."""

    @abstractmethod
    def _labels(self, ids: Tensor) -> Tensor | None:
        """Labels of these items, ``(n,)`` int64, or None where there are none."""

    def size(self, split: Split) -> int:
        """Number of items of ``split``."""
        return len(self._ids(split))

    def items(self, split: Split) -> Batch:
        """All items of ``split``, ``x (size, *event)`` float32, in ascending order of their ids.

        All of them are in memory at once, at four bytes a value.
        """
        return self._batch(self._ids(split))

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``n`` distinct items, ``x (n, *event)``, in an order that the noise decides.

        A Fisher-Yates shuffle, stopped after ``n`` items, one uniform number each: fewer items
        from the same noise are the first of more.
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
        """The items at ``index (n,)`` int64; those and no others are read."""
        ids = self._ids(split)
        check_positions(index, len(ids), f"{split} items of {type(self).__name__.lower()}")
        return self._batch(ids[index])

    def take(self, split: Split, index: Tensor, noise: Noise) -> Batch:
        """The items at ``index (n,)`` int64, flipped, binarised, dequantised as the options say.

        Streams "flip", "binarise" and "dequantise" of the noise are drawn from: one option leaves
        the numbers of the others as they are.
        """
        batch = self.pick(split, index)
        x = batch.x
        if self.flip:
            turned = noise.stream("flip").uniform(torch.empty(len(x))) < 0.5
            x = torch.where(turned.view(-1, *(1 for _ in self.event)), x.flip(-1), x)
        if self.binarise:
            x = binarise(x, noise.stream("binarise"))
        if self.dequantise:
            x = dequantise(x, 2 / (self.levels - 1), noise.stream("dequantise"))
        return Batch(x, batch.y, batch.ids)

    def _check_options(self) -> None:
        """Complain about options that exclude each other; a constructor calls it."""
        if self.binarise and self.dequantise:
            raise BadValue(
                "binarise and dequantise exclude each other: training sees two values of a pixel, "
                "or a density over all"
            )

    def _batch(self, ids: Tensor) -> Batch:
        x = self._pixels(ids).to(torch.float32).div_((self.levels - 1) / 2).sub_(1)
        return Batch(x, self._labels(ids), ids)


def digest_split(names: Sequence[str], test_items: int) -> dict[Split, Tensor]:
    """Positions of ``names`` that each split has, ascending: by digest, hence free of any RNG.

    The ``test_items`` names with the smallest SHA-256 digests are ``test``.
    """
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(os.fsencode(names[i])).digest())
    parts: dict[Split, list[int]] = {"test": order[:test_items], "train": order[test_items:]}
    return {split: torch.tensor(sorted(chosen)) for split, chosen in parts.items()}
