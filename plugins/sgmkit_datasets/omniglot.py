"""OMNIGLOT at 28 x 28 pixels: the file that papers on likelihoods share, or another cut of it."""

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
from sgmkit_datasets.directory import AGAIN, Root, Stamp, complete, folder_of, official, stamp
from sgmkit_datasets.items import Binarise, Dequantise, Flip, ItemDataset

Source = Literal["chardata", "omniglot28"]
SIDE = 28


@dataclass(frozen=True)
class File:
    """One cut of the data.

    Args:
        name: of the file.
        digest: its SHA-256, or None where it is not known: then its shapes must do.
        items: of train, and of test.
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
"""URLs that the name of the file is appended to."""


class Omniglot(ItemDataset):
    """Handwritten characters of 50 alphabets (Lake, Salakhutdinov and Tenenbaum 2015), 28 x 28.

    Likelihoods on the two sources are not comparable: they were shrunk and split differently.
    ``chardata`` is that of the papers, 24,345 ``train`` and 8,070 ``test`` items (Burda, Grosse
    and Salakhutdinov 2016). ``omniglot28`` has 24,345 as well, those of drawers 1 to 15, and 8,115
    of the five others; it averages the 105 x 105 originals over areas. The ids of a batch count
    train and test, train first; there are no labels.

    The file is looked for in the data directory and in its sub-folder ``omniglot``, and downloaded
    if there is a place to get it. What is missing or broken is told when the data set is built.
    """

    event = (1, SIDE, SIDE)

    def __init__(
        self,
        root: Root = None,
        source: Annotated[Source, Doc("file: of the papers, or averaged anew")] = "chardata",
        flip: Flip = False,
        dequantise: Dequantise = False,
        binarise: Binarise = False,
    ) -> None:
        self.flip, self.dequantise, self.binarise = flip, dequantise, binarise
        self._check_options()
        file = FILES[source]
        folder = folder_of(root, "omniglot", [file.name])
        try:
            complete(folder, "omniglot", {file.name: file.digest}, MIRRORS.get(source, ()))
        except MissingFiles as error:
            raise MissingFiles(f"{error}{_others(root)}") from None
        path = folder / file.name
        self._data = _load(path, stamp(path), source)

    def _ids(self, split: Split) -> Tensor:
        ids = torch.arange(len(self._data.images))
        return ids[: self._data.train] if split == "train" else ids[self._data.train :]

    def _pixels(self, ids: Tensor) -> Tensor:
        return self._data.images[ids]

    def _labels(self, ids: Tensor) -> None:
        return None


def _others(root: str | None) -> str:
    """What to say of the cuts that are there when the one that is asked for is not."""
    there = {name: folder_of(root, "omniglot", [x.name]) / x.name for name, x in FILES.items()}
    told = (f"; or omniglot:source={name} for '{x}'" for name, x in there.items() if x.exists())
    return "".join(told)


@dataclass(frozen=True)
class _Data:
    images: Tensor
    train: int


@lru_cache(maxsize=2)
def _load(path: Path, stamped: Stamp, source: Source) -> _Data:
    """The file as it is with this time of change and size: read once in a process."""
    file = FILES[source]
    if file.digest:
        official(path, file.digest, "put the right one in its place")
    read: Callable[[Path, tuple[int, int]], list[np.ndarray]]
    read = _chardata if source == "chardata" else _arrays
    train, test = (torch.from_numpy(part) for part in read(path, file.items))
    return _Data(torch.cat([train, test])[:, None], len(train))


def _chardata(path: Path, items: tuple[int, int]) -> list[np.ndarray]:
    """Levels ``(n, 28, 28)`` uint8 of train and test, as later work reads the MATLAB file.

    Columns are items, by columns of pixels, as floats in [0, 1]; 255 times that is cut, not
    rounded, to a level.
    """
    what = f"'{path}' is not the MATLAB file of the papers"
    try:
        held: dict[str, Any] = loadmat(path, variable_names=["data", "testdata"])
    except Exception as error:  # a broken file makes its decoder raise anything
        raise UserError(f"{what} ({last_line(error)}); {AGAIN}") from None
    found = []
    for key, count in zip(("data", "testdata"), items, strict=True):
        share = _held(held, key, (SIDE * SIDE, count), "f", f"{what}: ", AGAIN)
        if not ((share >= 0) & (share <= 1)).all():
            raise UserError(f"{what}: {key} is not all in [0, 1]; {AGAIN}")
        levels = (255 * share).reshape(SIDE, SIDE, count).transpose(2, 1, 0)
        found.append(levels.astype(np.uint8))
    return found


def _arrays(path: Path, items: tuple[int, int]) -> list[np.ndarray]:
    """Levels ``(n, 28, 28)`` uint8 of train and test, of an archive of arrays."""
    what, remedy = f"'{path}' is no archive of characters", "put the right one in its place"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            held = {key: archive[key] for key in archive.files}
    except Exception as error:  # as above
        raise UserError(f"{what} ({last_line(error)}); {remedy}") from None
    return [
        _held(held, key, (count, SIDE, SIDE), "u", f"{what}: ", remedy)
        for key, count in zip(("x_train", "x_test"), items, strict=True)
    ]


def _held(
    held: dict[str, Any], key: str, shape: tuple[int, ...], kind: str, what: str, remedy: str
) -> np.ndarray:
    """The array of that key, if it has the shape and kind of numbers that it must have."""
    array = held.get(key)
    if array is None:
        raise UserError(f"{what}it has no {key!r}; {remedy}")
    if array.shape != shape or array.dtype.kind != kind:
        found = f"{array.shape} {array.dtype}"
        wanted = f"{shape} {'floats' if kind == 'f' else 'bytes'}"
        raise UserError(f"{what}{key} is {found}, not {wanted}; {remedy}")
    return array
