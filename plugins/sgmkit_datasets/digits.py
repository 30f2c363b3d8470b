"""The handwritten digits that scikit-learn ships: real images without a download."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from sgmkit.data import Split
from sgmkit_datasets.image_dataset import (
    Binarise,
    Dequantise,
    Flip,
    ImageDataset,
    split_by_digest,
)

TEST_ITEMS = 297


@dataclass(frozen=True)
class Digits(ImageDataset):
    """1,797 digits of 8 x 8 pixels with 17 grey levels, 0 to 16, mapped to [-1, 1] in steps of 1/8.

    They are half of the UCI data "optical recognition of handwritten digits" (Alpaydin and Kaynak
    1998). The split is fixed: the 297 images whose index in the original file, written in decimal,
    has the smallest SHA-256 digests are ``test``, the other 1,500 are ``train``. Classes are not
    balanced by design. The ids of a batch are indices in the original file; ``y`` is the digit.
    """

    flip: Flip = False
    dequantise: Dequantise = False
    binarise: Binarise = False

    event = (1, 8, 8)
    levels: ClassVar[int] = 17

    def __post_init__(self) -> None:
        self._check_options()

    def _ids(self, split: Split) -> Tensor:
        return _splits()[split]

    def _pixels(self, ids: Tensor) -> Tensor:
        return _load()[0][ids]

    def _labels(self, ids: Tensor) -> Tensor:
        return _load()[1][ids]


@cache
def _load() -> tuple[Tensor, Tensor]:
    """The whole file: levels ``(1797, 1, 8, 8)`` uint8 and labels ``(1797,)``."""
    levels, labels = load_digits(return_X_y=True)
    pixels = torch.as_tensor(levels, dtype=torch.uint8).reshape(-1, *Digits.event)
    return pixels, torch.as_tensor(labels, dtype=torch.int64)


@cache
def _splits() -> dict[Split, Tensor]:
    return split_by_digest([str(index) for index in range(len(_load()[0]))], TEST_ITEMS)
