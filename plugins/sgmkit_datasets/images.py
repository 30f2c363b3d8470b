"""Image files: found in a folder, measured, and decoded to bytes of one shape."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from sgmkit.errors import UserError, last_line

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_T = TypeVar("_T")


def find_images(root: Path) -> list[str]:
    """Paths of all images below ``root``, relative to it, with ``/`` between parts, sorted.

    Names that begin with a dot are passed over, and links to folders are not followed.
    """
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        chosen = (n for n in names if n.lower().endswith(SUFFIXES) and not n.startswith("."))
        found += [Path(place, name).relative_to(root).as_posix() for name in chosen]
    return sorted(found)


def dimensions(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is meant to be seen.

    A PNG is read to its end, for its orientation may stand there; of others the header is read.
    """

    def measure(image: Image.Image) -> tuple[int, int]:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        width, height = image.size
        return (width, height) if turned else (height, width)

    return _open(path, measure)


def decode(path: Path, size: int, channels: int) -> Tensor:
    """Pixels of an image, ``(channels, height, width)`` uint8.

    An orientation in the file's metadata is applied, transparency dropped, and 16 bits rounded to
    8. With a ``size`` the shorter side is resized to it, and the centre cropped to a square, by a
    bicubic filter that is widened where it shrinks, against aliasing; 0 keeps the image as it is.

    Args:
        path: of the file.
        size: of either side, in pixels, or 0.
        channels: 1 for grey levels (ITU-R 601 luma), 3 for red, green and blue.
    """

    def convert(image: Image.Image) -> Tensor:
        seen = _eight_bits(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
        if size:
            seen = ImageOps.fit(seen, (size, size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(seen)).reshape(seen.height, seen.width, channels)
        return pixels.permute(2, 0, 1).contiguous()

    return _open(path, convert)


def in_threads(work: Callable[[Path], _T], paths: Iterable[Path]) -> list[_T]:
    """``work`` on every path, in as many threads as there are cores; results in order."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, paths))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image, with levels of 16 bits rounded to 8: `convert` alone would clip them at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) / 257 + 0.5).astype(np.uint8))


def _open(path: Path, look: Callable[[Image.Image], _T]) -> _T:
    try:
        with Image.open(path) as image:
            return look(image)
    except MemoryError:
        raise
    except Exception as error:  # a broken file makes its decoder raise anything
        raise UserError(
            f"'{path}' cannot be read as an image ({last_line(error)}); remove or replace it"
        ) from None
