"""Models with no learning error: exact scores and densities of known data laws."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    yield Component(
        "model",
        "exact",
        "sgmkit_exact.exact:Exact",
        "exact score of a mixture or of a data set's items",
    )
