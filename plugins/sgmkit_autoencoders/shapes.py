"""Checks of the shapes that autoencoders of images are built for."""

from sgmkit import BadValue


def image_size(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the images.

    Raises:
        BadValue: for shapes that are no images, or not of one height and width.
    """
    for name, shape in (("in_shape", in_shape), ("out_shape", out_shape)):
        if len(shape) != 3:
            raise BadValue(f"{name} must be (channels, height, width), not {shape}")
    if in_shape[1:] != out_shape[1:]:
        raise BadValue(f"in_shape {in_shape} and out_shape {out_shape} differ in height or width")
    return in_shape[1], in_shape[2]
