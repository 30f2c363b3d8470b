"""MNIST: the four official files, from a data directory or downloaded, and their idx format."""

import gzip
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from sgmkit.data import Split
from sgmkit.errors import IncompleteFile, UserError
from sgmkit_datasets.data_directory import (
    DOWNLOAD_AGAIN,
    Root,
    Stamp,
    check_digest,
    data_folder,
    download_missing,
    stamp,
)
from sgmkit_datasets.image_dataset import Binarise, Dequantise, Flip, ImageDataset

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
"""The official files and their SHA-256 digests: images and labels of train, then of test."""
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

_UNSIGNED_BYTES = 8
"""The idx format's code for this type of numbers."""


class Mnist(ImageDataset):
    """70,000 handwritten digits of 28 x 28 pixels with 256 grey levels (LeCun et al. 1998).

    The official split: 60,000 ``train`` and 10,000 ``test``. The ids of a batch count both, train
    first; ``y`` is the digit. Files are looked for in the data directory and in its sub-folder
    ``mnist``; missing ones are downloaded. A file that is missing or broken is reported when the
    data set is built. The images stay in memory as bytes, 55 MB.
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
        folder = data_folder(root, "mnist", FILES)
        download_missing(folder, "mnist", FILES, MIRRORS)
        self._content = _load(folder, tuple(stamp(folder / name) for name in FILES))

    def _ids(self, split: Split) -> Tensor:
        train, ids = self._content.train, torch.arange(len(self._content.labels))
        return ids[:train] if split == "train" else ids[train:]

    def _pixels(self, ids: Tensor) -> Tensor:
        return self._content.images[ids]

    def _labels(self, ids: Tensor) -> Tensor:
        return self._content.labels[ids]


@dataclass(frozen=True)
class _Content:
    """The four files: train followed by test.

    Args:
        images: ``(n, 1, 28, 28)`` uint8.
        labels: ``(n,)`` int64.
        train: how many of them are training images.
    """

    images: Tensor
    labels: Tensor
    train: int


@lru_cache(maxsize=2)
def _load(folder: Path, stamps: tuple[Stamp, ...]) -> _Content:
    """Read the files, once in a process while their times of change and sizes stay the same."""
    arrays = []
    for (name, digest), dims in zip(FILES.items(), (3, 1, 3, 1), strict=True):
        path = folder / name
        arrays.append(read_idx(path, dims))
        check_digest(path, digest)
    train, train_labels, test, test_labels = arrays
    labels = torch.cat([train_labels, test_labels]).to(torch.int64)
    return _Content(torch.cat([train, test])[:, None], labels, len(train))


def read_idx(path: Path, dims: int) -> Tensor:
    """The array in a gzipped idx file of unsigned bytes, uint8.

    The header is two zero bytes, the type (8: unsigned bytes), the number of dimensions, and the
    size of each dimension as four bytes, the most significant first.

    Args:
        path: of the file.
        dims: how many dimensions the array must have.

    Raises:
        IncompleteFile: for a file that ends early.
        UserError: for a file that is not gzipped, not idx, of another type or shape, or corrupt.
    """
    data = _unzipped(path)
    start = 4 + 4 * dims
    if len(data) >= 4 and bytes(data[:4]) != bytes((0, 0, _UNSIGNED_BYTES, dims)):
        raise UserError(
            f"'{path}' is not an idx file of unsigned bytes in {dims} dimensions: it begins with "
            f"{data[:4].hex(' ')}; {DOWNLOAD_AGAIN}"
        )
    sizes = (data[place : place + 4] for place in range(4, start, 4))
    shape = [int.from_bytes(size, "big") for size in sizes]
    length = start + math.prod(shape)
    if len(data) < length:
        raise IncompleteFile(
            f"'{path}' is cut short: {len(data)} of {length} bytes; {DOWNLOAD_AGAIN}"
        )
    if len(data) > length:
        raise UserError(
            f"'{path}' has {len(data)} bytes, where its header says {length}; {DOWNLOAD_AGAIN}"
        )
    return torch.frombuffer(data, dtype=torch.uint8)[start:].reshape(shape)


def _unzipped(path: Path) -> bytearray:
    try:
        with gzip.open(path) as file:
            return bytearray(file.read())
    except EOFError:
        raise IncompleteFile(
            f"'{path}' is cut short: its gzip stream does not end; {DOWNLOAD_AGAIN}"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"'{path}' is not a whole gzip file ({error}); {DOWNLOAD_AGAIN}") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; check its permissions") from None
