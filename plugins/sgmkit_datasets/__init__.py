"""Data sets that need no download: four 2-D mixtures with known densities, and small digits."""

from collections.abc import Iterable

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """Four 2-D laws and one set of images."""
    yield Component(
        "dataset",
        "eight-gaussians",
        "sgmkit_datasets.blobs:EightGaussians",
        "eight narrow Gaussians on a circle, 2-D",
        aliases=("8gaussians", "8-gaussians"),
    )
    yield Component(
        "dataset",
        "two-moons",
        "sgmkit_datasets.curves:TwoMoons",
        "two interleaved half circles, 2-D",
        aliases=("moons",),
    )
    yield Component(
        "dataset",
        "checkerboard",
        "sgmkit_datasets.blobs:Checkerboard",
        "eight filled squares of a 4 x 4 board, 2-D",
    )
    yield Component(
        "dataset",
        "swiss-roll",
        "sgmkit_datasets.curves:SwissRoll",
        "five small swiss rolls, the multi-modal toy data of the CLD paper, 2-D",
    )
    yield Component(
        "dataset",
        "digits",
        "sgmkit_datasets.digits:Digits",
        "scikit-learn's 1,797 handwritten digits, 1 x 8 x 8, 17 grey levels",
    )
