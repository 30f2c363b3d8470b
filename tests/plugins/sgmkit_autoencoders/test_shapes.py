"""Shapes that autoencoders of images refuse."""

import pytest

from sgmkit import BadValue
from sgmkit_autoencoders.shapes import image_size


def test_the_size_of_images_is_height_and_width():
    assert image_size((3, 4, 5), (7, 4, 5)) == (4, 5)


@pytest.mark.parametrize(
    ("in_shape", "out_shape", "message"),
    [
        ((8,), (8, 1, 1), r"in_shape must be \(channels, height, width\), not \(8,\)"),
        ((1, 8, 8), (8,), r"out_shape must be \(channels, height, width\), not \(8,\)"),
        ((1, 8, 8), (2, 8, 9), "differ in height or width"),
    ],
)
def test_other_shapes_are_refused(in_shape, out_shape, message):
    with pytest.raises(BadValue, match=message):
        image_size(in_shape, out_shape)
