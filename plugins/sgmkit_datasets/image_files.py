"""Image files: find them in a folder, read their dimensions, decode them to bytes of one shape."""

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

    Names that begin with a dot are skipped, and links to folders are not followed.
    """
    paths = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (n for n in names if n.lower().endswith(SUFFIXES) and not n.startswith("."))
        paths += [Path(place, name).relative_to(root).as_posix() for name in images]
    return sorted(paths)


def dimensions(path: Path) -> tuple[int, int]:
    """Height and width of an image after its metadata's orientation is applied.

    A PNG is read to its end, because the orientation may stand there; of other formats only the
    header is read.
    """

    def measure(image: Image.Image) -> tuple[int, int]:
        # EXIF orientations 5 to 8 turn the image by a quarter.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        width, height = image.size
        return (width, height) if turned else (height, width)

    return _with_image(path, measure)


def decode(path: Path, size: int, channels: int) -> Tensor:
    """Pixels of an image, ``(channels, height, width)`` uint8.

    The orientation in the file's metadata is applied, transparency is dropped, and 16 bits are
    rounded to 8. If ``size`` is not 0, the shorter side is resized to it and the centre cropped to
    a square. The filter is bicubic, and widened when it shrinks an image, against aliasing.

    Args:
        path: of the file.
        size: of either side, in pixels; 0 keeps the image's own size.
        channels: 1 for grey levels (ITU-R 601 luma), 3 for red, green and blue.
    """

    def convert(image: Image.Image) -> Tensor:
        upright = _eight_bits(ImageOps.exif_transpose(image))
        converted = upright.convert("L" if channels == 1 else "RGB")
        if size:
            converted = ImageOps.fit(converted, (size, size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(converted))
        pixels = pixels.reshape(converted.height, converted.width, channels)
        return pixels.permute(2, 0, 1).contiguous()

    return _with_image(path, convert)


def in_threads(work: Callable[[Path], _T], paths: Iterable[Path]) -> list[_T]:
    """The results of ``work`` on every path, in order, from as many threads as there are cores."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, paths))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image with levels of 16 bits rounded to 8; Pillow's `convert` would clip them at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) / 257 + 0.5).astype(np.uint8))


def _with_image(path: Path, function: Callable[[Image.Image], _T]) -> _T:
    """The result of ``function`` on the opened image; an error names the file and the remedy."""
    try:
        with Image.open(path) as image:
            return function(image)
    except MemoryError:
        raise
    except Exception as error:  # the decoder of a broken file may raise anything
        raise UserError(
            f"'{path}' cannot be read as an image ({last_line(error)}); remove or replace it"
        ) from None
