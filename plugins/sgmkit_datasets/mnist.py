"""MNIST: the four official files, from a data directory or downloaded."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from sgmkit.data import Split
from sgmkit_datasets.directory import Root, Stamp, complete, folder_of, official, stamp
from sgmkit_datasets.idx import read_idx
from sgmkit_datasets.items import Binarise, Dequantise, Flip, ItemDataset

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
DIGESTS = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
FILES: dict[str, str] = dict(zip(NAMES, DIGESTS, strict=True))
"""The official files and their SHA-256 digests, images and labels of train, then of test."""
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class Mnist(ItemDataset):
    """70,000 handwritten digits of 28 x 28 pixels with 256 grey levels (LeCun et al. 1998).

    The official split: 60,000 ``train`` and 10,000 ``test``. The ids of a batch count both, train
    first, and ``y`` are the digits. Files are looked for in the data directory and in its
    sub-folder ``mnist``; those that are not there are downloaded. What is missing or broken is
    told when the data set is built. The images stay in memory as bytes, 55 MB.
    """

    event = (1, 28, 28)

    def __init__(
        self,
        root: Root = None,
        flip: Flip = False,
        dequantise: Dequantise = False,
        binarise: Binarise = False,
    ) -> None:
        self.flip, self.dequantise, self.binarise = flip, dequantise, binarise
        self._check_options()
        folder = folder_of(root, "mnist", FILES)
        complete(folder, "mnist", FILES, MIRRORS)
        self._data = _load(folder, tuple(stamp(folder / name) for name in FILES))

    def _ids(self, split: Split) -> Tensor:
        ids = torch.arange(len(self._data.labels))
        return ids[: self._data.train] if split == "train" else ids[self._data.train :]

    def _pixels(self, ids: Tensor) -> Tensor:
        return self._data.images[ids]

    def _labels(self, ids: Tensor) -> Tensor:
        return self._data.labels[ids]


@dataclass(frozen=True)
class _Data:
    images: Tensor
    labels: Tensor
    train: int


@lru_cache(maxsize=2)
def _load(folder: Path, stamps: tuple[Stamp, ...]) -> _Data:
    """The files as they are with these times of change and sizes: read once in a process."""
    arrays = []
    for (name, digest), dims in zip(FILES.items(), (3, 1, 3, 1), strict=True):
        path = folder / name
        arrays.append(read_idx(path, dims))
        official(path, digest)
    train, train_labels, test, test_labels = arrays
    labels = torch.cat([train_labels, test_labels]).to(torch.int64)
    return _Data(torch.cat([train, test])[:, None], labels, len(train))
