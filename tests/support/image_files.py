"""Small pictures, and files of them."""

import numpy as np
from PIL import Image


def picture(seed, height=12, width=12, channels=3):
    """Smooth levels that differ by seed, ``(height, width, channels)`` uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.37 * x + 0.21 * y * (c + 1) + seed) for c in range(channels)]
    return np.round(127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    Image.fromarray(array).save(path, **options)
    return path
