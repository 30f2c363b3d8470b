"""Image files: how they are decoded, resized and turned."""

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_files import picture, save
from torch.nn.functional import interpolate

from sgmkit_datasets.image_files import decode, dimensions


def test_channels(tmp_path):
    colour, grey = picture(1), picture(2, channels=1)
    save(tmp_path / "colour.png", colour)
    save(tmp_path / "grey.png", grey)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    off = decode(tmp_path / "colour.png", 0, 1)[0].numpy() - luma
    assert np.abs(off).max() <= 1
    assert torch.equal(
        decode(tmp_path / "grey.png", 0, 3), torch.tensor(grey[..., 0]).repeat(3, 1, 1)
    )
    assert decode(tmp_path / "grey.png", 0, 1).shape == (1, 12, 12)


def test_formats(tmp_path):
    smooth = picture(0, 24, 24)
    for name, options in (("x.bmp", {}), ("x.png", {}), ("x.webp", {"lossless": True})):
        pixels = decode(save(tmp_path / name, smooth, **options), 0, 3)
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), smooth)
    for name in ("x.jpg", "x.jpeg"):
        pixels = decode(save(tmp_path / name, smooth, quality=95, subsampling=0), 0, 3)
        assert float((pixels.permute(1, 2, 0) - torch.tensor(smooth).float()).abs().mean()) < 2


def test_sixteen_bits_are_rounded_not_clipped(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], np.uint16)
    pixels = decode(save(tmp_path / "x.png", deep), 0, 1)
    assert pixels.tolist() == [[[0, 0, 1, 1], [128, 254, 255, 255]]]


def test_palettes_and_transparency(tmp_path):
    flat = np.zeros((4, 4, 4), np.uint8)
    flat[:2] = (10, 200, 30, 255)
    flat[2:] = (10, 200, 30, 0)
    save(tmp_path / "alpha.png", flat)
    Image.fromarray(flat[..., :3]).quantize(4).save(tmp_path / "palette.png")
    for name in ("alpha.png", "palette.png"):
        pixels = decode(tmp_path / name, 0, 3)
        assert torch.equal(
            pixels, torch.tensor([10, 200, 30]).to(pixels)[:, None, None].expand(3, 4, 4)
        )


def test_pictures_are_seen_upright(tmp_path):
    array, exif = picture(3, 6, 10), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = save(tmp_path / "x.png", array, exif=exif)
    assert dimensions(path) == (10, 6)
    assert np.array_equal(decode(path, 0, 3).permute(1, 2, 0).numpy(), np.rot90(array, -1))


@pytest.mark.parametrize(("height", "width", "size"), [(40, 80, 16), (80, 40, 16), (20, 20, 32)])
def test_the_centred_square_is_resized_bicubically(tmp_path, height, width, size):
    """Against torch's bicubic filter, which is written apart from Pillow's."""
    path = save(tmp_path / "x.png", picture(5, height, width))
    scaled = (height * size // min(height, width), width * size // min(height, width))
    wanted = torch.tensor(picture(5, height, width)).permute(2, 0, 1)[None].double()
    wanted = interpolate(wanted, scaled, mode="bicubic", antialias=True).clamp(0, 255)[0]
    top, left = ((side - size) // 2 for side in scaled)
    wanted = wanted[:, top : top + size, left : left + size]
    assert float((decode(path, size, 3) - wanted).abs().max()) < 1.01


def test_shrinking_does_not_alias(tmp_path):
    board = np.indices((64, 64)).sum(0) % 2 * 255
    pixels = decode(save(tmp_path / "x.png", board.astype(np.uint8)), 16, 1)
    assert float((pixels - 127.5).abs().max()) < 1
