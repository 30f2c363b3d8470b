"""Data sets: four 2-D mixtures of known density, digits, MNIST, OMNIGLOT, folders of images.

Read `mixtures` for data whose exact law is known; then `image_dataset`, the base of all images, and
`digits`, the shortest use of it. `mnist` and `omniglot` find or download their files by way of
`data_directory`; `folder` decodes images with `image_files`. Imports `sgmkit`, torch, NumPy, Pillow
and SciPy; scikit-learn in `digits` alone.
"""

from collections.abc import Iterable

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """Four 2-D laws, two sets of digits, one of characters, and any folder of images."""
    yield Component(
        "dataset",
        "eight-gaussians",
        "sgmkit_datasets.mixtures:EightGaussians",
        "eight narrow Gaussians on a circle, 2-D",
        aliases=("8gaussians", "8-gaussians"),
    )
    yield Component(
        "dataset",
        "two-moons",
        "sgmkit_datasets.mixtures:TwoMoons",
        "two interleaved half circles, 2-D",
        aliases=("moons",),
    )
    yield Component(
        "dataset",
        "checkerboard",
        "sgmkit_datasets.mixtures:Checkerboard",
        "eight filled squares of a 4 x 4 board, 2-D",
    )
    yield Component(
        "dataset",
        "swiss-roll",
        "sgmkit_datasets.mixtures:SwissRoll",
        "five small swiss rolls, the multi-modal toy data of the CLD paper, 2-D",
    )
    yield Component(
        "dataset",
        "digits",
        "sgmkit_datasets.digits:Digits",
        "scikit-learn's 1,797 handwritten digits, 1 x 8 x 8, 17 grey levels",
        extra="digits",
    )
    yield Component(
        "dataset",
        "mnist",
        "sgmkit_datasets.mnist:Mnist",
        "70,000 handwritten digits, 1 x 28 x 28, 256 grey levels; downloaded at first use",
    )
    yield Component(
        "dataset",
        "omniglot",
        "sgmkit_datasets.omniglot:Omniglot",
        "handwritten characters of 50 alphabets, 1 x 28 x 28, 256 grey levels; downloaded",
    )
    yield Component(
        "dataset",
        "folder",
        "sgmkit_datasets.folder:Folder",
        "the images in a folder of yours, resized and cropped to a square: folder:root=DIR",
        aliases=("image-folder",),
    )
