"""Labels of image files: from the folders they lie in, or from a table."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sgmkit.errors import BadValue, UnknownName, last_line

FOLDERS = "folders"


def read_labels(root: Path, files: Sequence[str], labels: str) -> Tensor:
    """A class for each of ``files``, ``(n,)`` int64.

    Labels that are whole numbers, all of them, are the classes; others are numbered from 0 in
    sorted order.

    Args:
        root: the folder that ``files`` lie in.
        files: paths relative to it.
        labels: ``folders``, for the name of the first sub-folder of each file, or the path of a
            CSV file, relative to ``root``, with columns ``file`` and ``label``.
    """
    names = _of_folders(root, files) if labels == FOLDERS else _of_table(root / labels, files)
    known = sorted(set(names))
    if all(name.isdecimal() and len(name) < 19 for name in known):  # int64 holds 18 digits
        return torch.tensor([int(name) for name in names])
    number = {name: place for place, name in enumerate(known)}
    return torch.tensor([number[name] for name in names])


def _of_folders(root: Path, files: Sequence[str]) -> list[str]:
    for file in files:
        if "/" not in file:
            raise BadValue(f"labels = {FOLDERS}, but '{file}' is in no sub-folder of '{root}'")
    return [file.partition("/")[0] for file in files]


def _of_table(path: Path, files: Sequence[str]) -> list[str]:
    rows = _rows(path)
    count = Counter(file for file, _ in rows)
    table = dict(rows)
    for file in files:
        if count[file] != 1:
            told = f"{count[file]} labels" if file in table else "no label"
            raise BadValue(f"labels file '{path}' has {told} for '{file}'; every image needs one")
    return [table[file] for file in files]


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not {"file", "label"} <= set(table.fieldnames or ()):
                raise BadValue(f"labels file '{path}' has no columns 'file' and 'label'")
            return [(row["file"], row["label"]) for row in table if row["label"]]
    except OSError as error:
        raise UnknownName(
            f"cannot read labels file '{path}': {error.strerror}; name it relative to the folder "
            f"of the images, or take labels={FOLDERS}"
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadValue(f"labels file '{path}' is no CSV text ({last_line(error)})") from None
