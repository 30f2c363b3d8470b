"""Any folder of images."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Split
from sgmkit.errors import BadValue, MissingFiles, UnknownName
from sgmkit_datasets.images import SUFFIXES, decode, dimensions, find_images, in_threads
from sgmkit_datasets.items import Dequantise, Flip, ItemDataset, digest_split
from sgmkit_datasets.labels import read_labels

CACHE = 1 << 30
"""Bytes of decoded pixels that are kept: a larger data set is decoded anew at every access."""


class Folder(ItemDataset):
    """The images in a folder and its sub-folders, resized and cropped to a square.

    Files are png, jpg, jpeg, webp or bmp, and decoded when they are first needed. The split goes
    by name: the share ``test`` of them whose paths, relative to the folder, have the smallest
    SHA-256 digests. The ids of a batch are positions in the sorted list of these paths.
    """

    def __init__(
        self,
        root: Annotated[str, Doc("the folder; there is no default")] = "",
        size: Annotated[int, Ge(0), Doc("pixels of either side; 0 keeps images as they are")] = 64,
        channels: Annotated[Literal[1, 3], Doc("1: grey levels, 3: colours")] = 3,
        test: Annotated[float, Gt(0), Lt(1), Doc("share of the images that are test")] = 0.1,
        labels: Annotated[
            str | None, Doc("'folders': the sub-folders' names; or a CSV file: file, label")
        ] = None,
        flip: Flip = False,
        dequantise: Dequantise = False,
    ) -> None:
        self.flip, self.dequantise = flip, dequantise
        if not root:
            raise MissingFiles("folder needs the folder that its images are in: folder:root=DIR")
        self._root, self._size = Path(root).expanduser(), size
        if not self._root.is_dir():
            raise UnknownName(f"no directory '{root}'; name the folder of images: folder:root=DIR")
        self._files = find_images(self._root)
        count = len(self._files)
        if count < 2:
            found = "only one image" if count else "no images"
            listed = ", ".join(SUFFIXES)
            raise BadValue(f"{found} in '{root}' ({listed}); train and test need one each")
        self._classes = read_labels(self._root, self._files, labels) if labels else None
        self._splits = digest_split(self._files, min(max(1, round(test * count)), count - 1))
        self.event = (channels, *((size, size) if size else self._common_shape()))
        whole = torch.Size((count, *self.event))
        self._cache = torch.empty(whole, dtype=torch.uint8) if whole.numel() <= CACHE else None
        self._cached = torch.zeros(count, dtype=torch.bool)

    def _ids(self, split: Split) -> Tensor:
        return self._splits[split]

    def _pixels(self, ids: Tensor) -> Tensor:
        if self._cache is None:
            distinct, place = ids.unique(return_inverse=True)
            return self._decoded(distinct)[place]
        new = ids[~self._cached[ids]].unique()
        if len(new):
            self._cache[new] = self._decoded(new)
            self._cached[new] = True
        return self._cache[ids]

    def _labels(self, ids: Tensor) -> Tensor | None:
        return None if self._classes is None else self._classes[ids]

    def _decoded(self, ids: Tensor) -> Tensor:
        work = partial(decode, size=self._size, channels=self.event[0])
        return torch.stack(in_threads(work, [self._root / self._files[i] for i in ids.tolist()]))

    def _common_shape(self) -> tuple[int, int]:
        """Height and width of the images, which must all have the same."""
        shapes = in_threads(dimensions, [self._root / file for file in self._files])
        for file, shape in zip(self._files, shapes, strict=True):
            if shape != shapes[0]:
                raise BadValue(
                    f"images differ in size: '{self._files[0]}' is {_told(shapes[0])}, '{file}' "
                    f"{_told(shape)}; size=64 resizes and crops them"
                )
        return shapes[0]


def _told(shape: tuple[int, int]) -> str:
    height, width = shape
    return f"{width} x {height}"
