"""Models with no learning error: the exact score and density of a known law of data.

Read `channel` (the mixture behind one noisy observation), then `exact` (the model). The plugin
imports sgmkit's public rooms and torch.
"""

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
