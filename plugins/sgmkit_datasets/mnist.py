"""MNIST: the four official files, from a data directory or downloaded."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from typing_extensions import Doc

from sgmkit.dataset import Split
from sgmkit.errors import MissingFiles, UserError
from sgmkit_datasets.download import DownloadFailed, fetch, sha256
from sgmkit_datasets.idx import read_idx
from sgmkit_datasets.items import Dequantise, Flip, ItemDataset

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
        root: Annotated[str | None, Doc("data directory; if none, $SGMKIT_DATA or data/")] = None,
        flip: Flip = False,
        dequantise: Dequantise = False,
    ) -> None:
        self.flip, self.dequantise = flip, dequantise
        base = Path(root or os.environ.get("SGMKIT_DATA") or "data").expanduser()
        folder = base if any((base / name).exists() for name in FILES) else base / "mnist"
        _complete(folder)
        stats = [(folder / name).stat() for name in FILES]
        self._data = _load(folder, tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))

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


def _complete(folder: Path) -> None:
    """Download the files that are not in ``folder``."""
    missing = [name for name in FILES if not (folder / name).exists()]
    try:
        while missing:
            fetch(folder, missing[0], FILES[missing[0]], MIRRORS)
            missing.pop(0)
    except DownloadFailed as error:
        raise MissingFiles(
            f"mnist needs {', '.join(missing)}, which cannot be downloaded ({error}): put them "
            f"into '{folder}', or name the data directory with mnist:root=DIR or SGMKIT_DATA"
        ) from None


@lru_cache(maxsize=2)
def _load(folder: Path, stamps: tuple[tuple[int, int], ...]) -> _Data:
    """The files as they are with these times of change and sizes: read once in a process."""
    arrays = []
    for (name, digest), dims in zip(FILES.items(), (3, 1, 3, 1), strict=True):
        path = folder / name
        arrays.append(read_idx(path, dims))
        if (found := sha256(path)) != digest:
            raise UserError(
                f"'{path}' is not the official file: its SHA-256 is {found[:8]}..., not "
                f"{digest[:8]}...; delete it, and it is downloaded again"
            )
    train, train_labels, test, test_labels = arrays
    labels = torch.cat([train_labels, test_labels]).to(torch.int64)
    return _Data(torch.cat([train, test])[:, None], labels, len(train))
