"""Pictures: what is drawn where, and what has none."""

import numpy as np
import pytest
import torch
from PIL import Image

from sgmkit._util.pictures import save_grid, save_strip
from sgmkit.errors import BadValue


def pixels(path):
    return np.asarray(Image.open(path))


def test_a_grid_of_grey_images(tmp_path):
    """8 x 8 images enlarged four times, two columns of white between, in reading order."""
    x = torch.stack([torch.full((1, 8, 8), value) for value in (-1.0, 0.0, 1.0, 2.0, -3.0)])
    save_grid(x, tmp_path / "new" / "grid.png", (-1.0, 1.0))
    image = pixels(tmp_path / "new" / "grid.png")
    assert image.shape == (2 * 34 + 2, 3 * 34 + 2)
    tiles = [image[2 + 34 * (i // 3) :, 2 + 34 * (i % 3) :][:32, :32] for i in range(6)]
    assert [int(tile.min()) for tile in tiles] == [0, 128, 255, 255, 0, 255]
    assert all(tile.min() == tile.max() for tile in tiles)
    assert (image[:2] == 255).all()


def test_a_grid_of_colours(tmp_path):
    x = torch.zeros(4, 3, 64, 32)
    x[0, 0] = 1.0
    save_grid(x, tmp_path / "grid.png", (0.0, 1.0))
    image = pixels(tmp_path / "grid.png")
    assert image.shape == (2 + 2 * 66, 2 + 3 * 34, 3)
    assert image[10, 10].tolist() == [255, 0, 0]
    assert image[10, 44].tolist() == [0, 0, 0]


def test_points_are_drawn_as_points(tmp_path):
    save_grid(torch.randn(50, 2, generator=torch.Generator()), tmp_path / "p.png")  # noqa: TID251
    image = pixels(tmp_path / "p.png")
    assert image.shape[:2] == (600, 600)
    assert image.std() > 5


@pytest.mark.parametrize("event", [(3,), (2, 8, 8)])
def test_what_has_no_picture(tmp_path, event):
    message = f"samples of shape {event} have no picture; write them as .npz"
    with pytest.raises(BadValue) as caught:
        save_grid(torch.zeros(4, *event), tmp_path / "p.png", (-1.0, 1.0))
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_a_strip_shows_a_column_for_each_time(tmp_path):
    """A state of standard deviation 50 is shrunk, not blackened out."""
    noise = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator()) * 50  # noqa: TID251
    x = torch.cat([noise, torch.full((2, 1, 1, 8, 8), 1.0)], dim=1)
    save_strip([1.0, 1e-3], x, tmp_path / "s.png", (-1.0, 1.0))
    image = pixels(tmp_path / "s.png")[..., 0]
    left, right = np.array_split(image[image.shape[0] // 3 :], 2, axis=1)
    assert len(np.unique(left)) > 50
    assert (right > 250).mean() > 0.9


def test_ways_of_points_are_lines(tmp_path):
    x = torch.stack([torch.linspace(-2, 2, 9), torch.zeros(9)], dim=-1)[None]
    save_strip(torch.linspace(1, 0, 9).tolist(), x, tmp_path / "s.png")
    assert pixels(tmp_path / "s.png").shape[:2] == (600, 600)
