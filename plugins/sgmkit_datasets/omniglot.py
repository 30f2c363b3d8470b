"""OMNIGLOT at 28 x 28 pixels: the file that papers on likelihoods share, or another reduction."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Split
from sgmkit.errors import MissingFiles, UserError, last_line
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

Source = Literal["chardata", "omniglot28"]
SIDE = 28
REPLACE = "put the right one in its place"


@dataclass(frozen=True)
class File:
    """One version of the data, a single file.

    Args:
        name: of the file.
        digest: its SHA-256, or None where it is not known; its shapes are then checked alone.
        items: number of training images, and of test images.
    """

    name: str
    digest: str | None
    items: tuple[int, int]


FILES: dict[str, File] = {
    "chardata": File("chardata.mat", None, (24345, 8070)),
    "omniglot28": File(
        "omniglot28.npz",
        "459e09f9bb2d45cebdf4bdebdf6003aef06af66cf2ff56d507fa7b7809b3f089",
        (24345, 8115),
    ),
}
MIRRORS: dict[str, tuple[str, ...]] = {
    "chardata": ("https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/",)
}
"""For each source, URLs to which the name of its file is appended."""


class Omniglot(ImageDataset):
    """Handwritten characters of 50 alphabets (Lake, Salakhutdinov and Tenenbaum 2015), 28 x 28.

    There are two sources. They were reduced and split differently, so likelihoods on one cannot be
    compared with likelihoods on the other. ``chardata`` is that of the papers: 24,345 ``train`` and
    8,070 ``test`` images (Burda, Grosse and Salakhutdinov 2016). ``omniglot28`` averages the 105 x
    105 originals over areas; its 24,345 ``train`` images are those of drawers 1 to 15, its 8,115
    ``test`` images those of the five others. The ids of a batch count train and test, train first;
    there are no labels.

    The file is looked for in the data directory and in its sub-folder ``omniglot``, and downloaded
    if a mirror is known. A file that is missing or broken is reported when the data set is built.
    """

    event = (1, SIDE, SIDE)

    def __init__(
        self,
        root: Root = None,
        source: Annotated[
            Source, Doc("chardata: the file of the papers; omniglot28: averaged over areas")
        ] = "chardata",
        flip: Flip = False,
        dequantise: Dequantise = False,
        binarise: Binarise = False,
    ) -> None:
        self.flip, self.dequantise, self.binarise = flip, dequantise, binarise
        self._check_options()
        file = FILES[source]
        folder = data_folder(root, "omniglot", [file.name])
        try:
            download_missing(folder, "omniglot", {file.name: file.digest}, MIRRORS.get(source, ()))
        except MissingFiles as error:
            raise MissingFiles(f"{error}{_present_sources(root)}") from None
        path = folder / file.name
        self._content = _load(path, stamp(path), source)

    def _ids(self, split: Split) -> Tensor:
        train, ids = self._content.train, torch.arange(len(self._content.images))
        return ids[:train] if split == "train" else ids[train:]

    def _pixels(self, ids: Tensor) -> Tensor:
        return self._content.images[ids]

    def _labels(self, ids: Tensor) -> None:
        return None


def _present_sources(root: str | None) -> str:
    """End of an error message: the sources whose files are present, each with its option."""
    paths = {
        source: data_folder(root, "omniglot", [file.name]) / file.name
        for source, file in FILES.items()
    }
    return "".join(
        f"; or omniglot:source={source} for '{path}'"
        for source, path in paths.items()
        if path.exists()
    )


@dataclass(frozen=True)
class _Content:
    """One file: train followed by test.

    Args:
        images: ``(n, 1, 28, 28)`` uint8.
        train: how many of them are training images.
    """

    images: Tensor
    train: int


@lru_cache(maxsize=2)
def _load(path: Path, stamped: Stamp, source: Source) -> _Content:
    """Read the file, once in a process while its time of change and size stay the same."""
    file = FILES[source]
    if file.digest:
        check_digest(path, file.digest, REPLACE)
    read: Callable[[Path, tuple[int, int]], list[np.ndarray]]
    read = _read_matlab if source == "chardata" else _read_npz
    train, test = (torch.from_numpy(part) for part in read(path, file.items))
    return _Content(torch.cat([train, test])[:, None], len(train))


def _read_matlab(path: Path, items: tuple[int, int]) -> list[np.ndarray]:
    """Levels ``(n, 28, 28)`` uint8 of train and test in ``chardata.mat``.

    A column of the file is an image, one column of pixels after the other, as floats in [0, 1].
    As in later work, 255 times a float is cut to an integer level, not rounded.
    """
    complaint = f"'{path}' is not the MATLAB file of the papers"
    try:
        arrays: dict[str, Any] = loadmat(path, variable_names=["data", "testdata"])
    except Exception as error:  # the decoder of a broken file may raise anything
        raise UserError(f"{complaint} ({last_line(error)}); {DOWNLOAD_AGAIN}") from None
    parts = []
    for key, count in zip(("data", "testdata"), items, strict=True):
        values = _checked(arrays, key, (SIDE * SIDE, count), "f", f"{complaint}: ", DOWNLOAD_AGAIN)
        if not ((values >= 0) & (values <= 1)).all():
            raise UserError(f"{complaint}: {key} is not all in [0, 1]; {DOWNLOAD_AGAIN}")
        levels = (255 * values).reshape(SIDE, SIDE, count).transpose(2, 1, 0)
        parts.append(levels.astype(np.uint8))
    return parts


def _read_npz(path: Path, items: tuple[int, int]) -> list[np.ndarray]:
    """Levels ``(n, 28, 28)`` uint8 of train and test in ``omniglot28.npz``."""
    complaint = f"'{path}' is no archive of characters"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # the decoder of a broken file may raise anything
        raise UserError(f"{complaint} ({last_line(error)}); {REPLACE}") from None
    return [
        _checked(arrays, key, (count, SIDE, SIDE), "u", f"{complaint}: ", REPLACE)
        for key, count in zip(("x_train", "x_test"), items, strict=True)
    ]


def _checked(
    arrays: dict[str, Any],
    key: str,
    shape: tuple[int, ...],
    kind: Literal["f", "u"],
    complaint: str,
    remedy: str,
) -> np.ndarray:
    """The array ``key``, if it has this shape and is of floats (``f``) or bytes (``u``)."""
    array = arrays.get(key)
    if array is None:
        raise UserError(f"{complaint}it has no {key!r}; {remedy}")
    if array.shape != shape or array.dtype.kind != kind:
        actual = f"{array.shape} {array.dtype}"
        expected = f"{shape} {'floats' if kind == 'f' else 'bytes'}"
        raise UserError(f"{complaint}{key} is {actual}, not {expected}; {remedy}")
    return array
