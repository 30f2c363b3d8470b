"""Pictures of samples: a grid of images, a plot of points, and their way from noise to data."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgmkit._util.files import write_atomic
from sgmkit._util.plotting import figure_class
from sgmkit.errors import BadValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 32
"""Smallest side of an image in pixels: smaller images are enlarged by a whole factor."""

Range = tuple[float, float] | None
"""Values of the data that are shown as black and white; None for those of the samples."""


def save_grid(x: Tensor, path: str | Path, value_range: Range = None) -> None:
    """Write a PNG of samples: images in a grid, two-dimensional data as points.

    Args:
        x: samples, ``(n, *event)`` with an event ``(1, H, W)``, ``(3, H, W)`` or ``(2,)``.
        path: the file to write; its directory is created.
        value_range: values shown as black and white; values beyond are clamped.

    Raises:
        BadValue: for any other event.
    """
    data = io.BytesIO()
    if x.shape[1:] == (2,):
        _scatter(x).savefig(data, format="png", dpi=120)
    else:
        from PIL import Image

        pixels = _pixels(x, value_range)
        Image.fromarray(_tiled(pixels).numpy()).save(data, format="png")
    _write(path, data)


def save_strip(
    times: Sequence[float], x: Tensor, path: str | Path, value_range: Range = None
) -> None:
    """Write a PNG of samples on their way from noise to data.

    A row of images for each sample, with a column for each time; two-dimensional data as lines.

    Args:
        times: the times of the columns, decreasing.
        x: phase 0 of the states, ``(n, len(times), *event)``. A column whose values exceed the
            range (as VE states of standard deviation 50 do) is shrunk into it.
        path: the file to write; its directory is created.
        value_range: values shown as black and white; None for -1 and 1.
    """
    figure = _lines(times, x) if x.shape[2:] == (2,) else _strip(times, x, value_range)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    _write(path, data)


def _strip(times: Sequence[float], x: Tensor, value_range: Range) -> "Figure":
    """Images: a row for each sample, a column for each time."""
    rows, columns = x.shape[:2]
    figure = figure_class()(figsize=(1.1 * columns, 1.1 * rows + 0.3))
    axes = figure.subplots(rows, columns, squeeze=False)
    low, high = value_range or (-1.0, 1.0)
    middle, reach = (low + high) / 2, (high - low) / 2
    for j, t in enumerate(times):
        deviation = x[:, j].cpu().float() - middle
        largest = float(torch.quantile(deviation.abs().flatten()[:100_000], 0.98))
        shrunk = middle + deviation / max(1.0, largest / reach)
        images = _pixels(shrunk, (low, high), enlarge=False)
        for panel, image in zip(axes[:, j], images, strict=True):
            panel.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
            panel.set_axis_off()
        axes[0][j].set_title(f"t = {t:.2g}", fontsize=8)
    figure.tight_layout(pad=0.3)
    return figure


def _lines(times: Sequence[float], x: Tensor) -> "Figure":
    """Points: a line for each sample, from its first time to its last."""
    figure, axes = _points()
    for line in x.cpu():
        axes.plot(*line.T.tolist(), linewidth=0.8, alpha=0.7)
    for index, marker, colour in ((0, "o", "#999999"), (-1, "*", "#000000")):
        label = f"t = {times[index]:.2g}"
        axes.scatter(*x[:, index].cpu().T.tolist(), s=16, c=colour, marker=marker, label=label)
    axes.legend()
    return figure


def _write(path: str | Path, data: io.BytesIO) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())


def _pixels(x: Tensor, value_range: Range, enlarge: bool = True) -> Tensor:
    """Pixels ``(n, H, W)`` or ``(n, H, W, 3)``, uint8, of ``x (n, C, H, W)`` with C = 1 or 3."""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise BadValue(f"samples of shape {tuple(x.shape[1:])} have no picture; write them as .npz")
    low, high = value_range or (float(x.min()), float(x.max()))
    scaled = (x.detach().cpu().float() - low) / max(high - low, 1e-12)
    images = scaled.mul(255).round().clamp(0, 255).to(torch.uint8)
    factor = math.ceil(SIDE / max(x.shape[-2:])) if enlarge else 1
    images = images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    return images[:, 0] if x.shape[1] == 1 else images.permute(0, 2, 3, 1)


def _tiled(images: Tensor, gap: int = 2) -> Tensor:
    """One image that holds all of ``images (n, H, W)`` or ``(n, H, W, 3)``, about a square."""
    n, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(n * height / width))
    rows = math.ceil(n / columns)
    size = (rows * (height + gap) + gap, columns * (width + gap) + gap, *images.shape[3:])
    canvas = torch.full(size, 255, dtype=torch.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def _scatter(x: Tensor) -> "Figure":
    figure, axes = _points()
    axes.scatter(*x.detach().cpu().T.tolist(), s=4, alpha=0.6, linewidths=0)
    axes.set_title(f"{len(x)} samples")
    return figure


def _points() -> "tuple[Figure, Axes]":
    figure = figure_class()(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="x[0]", ylabel="x[1]", aspect="equal")
    return figure, axes
