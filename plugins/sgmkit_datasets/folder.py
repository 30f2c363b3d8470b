"""A folder of images as a data set, with labels from its sub-folders or from a table."""

import csv
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from typing_extensions import Doc

from sgmkit.data import Split
from sgmkit.errors import BadValue, MissingFiles, UnknownName, last_line
from sgmkit_datasets.image_dataset import Dequantise, Flip, ImageDataset, split_by_digest
from sgmkit_datasets.image_files import SUFFIXES, decode, dimensions, find_images, in_threads

FROM_FOLDERS = "folders"
"""The value of the option ``labels`` that takes them from the names of sub-folders."""


class Folder(ImageDataset):
    """The images in a folder and its sub-folders, resized and cropped to a square.

    Files are png, jpg, jpeg, webp or bmp. They are decoded when they are first needed. The split
    depends on the file names alone: the share ``test`` of the files whose paths, relative to the
    folder, have the smallest SHA-256 digests is ``test``. The ids of a batch are positions in the
    sorted list of these paths.

    Attributes:
        cache_limit: decoded pixels are kept if all of them take no more than this many bytes; a
            larger data set is decoded anew at every access.
    """

    cache_limit: ClassVar[int] = 1 << 30

    def __init__(
        self,
        root: Annotated[str, Doc("the folder of the images; there is no default")] = "",
        size: Annotated[
            int, Ge(0), Doc("side of the square in pixels; 0 keeps the images' own size")
        ] = 64,
        channels: Annotated[Literal[1, 3], Doc("1: grey levels; 3: colours")] = 3,
        test: Annotated[float, Gt(0), Lt(1), Doc("share of the images in the test split")] = 0.1,
        labels: Annotated[
            str | None,
            Doc("'folders': names of sub-folders; or a CSV file with columns file and label"),
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
            images = "only one image" if count else "no images"
            listed = ", ".join(SUFFIXES)
            raise BadValue(f"{images} in '{root}' ({listed}); train and test need one each")
        self._classes = read_labels(self._root, self._files, labels) if labels else None
        self._splits = split_by_digest(self._files, min(max(1, round(test * count)), count - 1))
        self.event = (channels, *((size, size) if size else self._common_shape()))
        shape = torch.Size((count, *self.event))
        fits = shape.numel() <= self.cache_limit
        self._cache = torch.empty(shape, dtype=torch.uint8) if fits else None
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
        """Height and width of the images; raises `BadValue` if they differ."""
        shapes = in_threads(dimensions, [self._root / file for file in self._files])
        for file, shape in zip(self._files, shapes, strict=True):
            if shape != shapes[0]:
                raise BadValue(
                    f"images differ in size: '{self._files[0]}' is {_width_by_height(shapes[0])}, "
                    f"'{file}' {_width_by_height(shape)}; size=64 resizes and crops them"
                )
        return shapes[0]


def read_labels(root: Path, files: Sequence[str], labels: str) -> Tensor:
    """The class of each of ``files``, ``(n,)`` int64.

    If all labels are whole numbers, these are the classes; otherwise the distinct labels are
    numbered from 0 in sorted order.

    Args:
        root: the folder that ``files`` lie in.
        files: paths relative to ``root``.
        labels: ``folders`` for the name of each file's first sub-folder, or the path of a CSV
            file, relative to ``root``, with columns ``file`` and ``label``.
    """
    if labels == FROM_FOLDERS:
        names = _labels_of_folders(root, files)
    else:
        names = _labels_of_table(root / labels, files)
    distinct = sorted(set(names))
    if all(name.isdecimal() and len(name) < 19 for name in distinct):  # int64 holds 18 digits
        return torch.tensor([int(name) for name in names])
    number = {name: place for place, name in enumerate(distinct)}
    return torch.tensor([number[name] for name in names])


def _labels_of_folders(root: Path, files: Sequence[str]) -> list[str]:
    for file in files:
        if "/" not in file:
            raise BadValue(f"labels={FROM_FOLDERS}, but '{file}' is in no sub-folder of '{root}'")
    return [file.partition("/")[0] for file in files]


def _labels_of_table(path: Path, files: Sequence[str]) -> list[str]:
    rows = _table_rows(path)
    count = Counter(file for file, _ in rows)
    table = dict(rows)
    for file in files:
        if count[file] != 1:
            labels = f"{count[file]} labels" if file in table else "no label"
            raise BadValue(f"labels file '{path}' has {labels} for '{file}'; every image needs one")
    return [table[file] for file in files]


def _table_rows(path: Path) -> list[tuple[str, str]]:
    """File and label of each row that has a label."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not {"file", "label"} <= set(table.fieldnames or ()):
                raise BadValue(f"labels file '{path}' has no columns 'file' and 'label'")
            return [(row["file"], row["label"]) for row in table if row["label"]]
    except OSError as error:
        raise UnknownName(
            f"cannot read labels file '{path}': {error.strerror}; name it relative to the folder "
            f"of the images, or use labels={FROM_FOLDERS}"
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadValue(f"labels file '{path}' is no CSV text ({last_line(error)})") from None


def _width_by_height(shape: tuple[int, int]) -> str:
    height, width = shape
    return f"{width} x {height}"
