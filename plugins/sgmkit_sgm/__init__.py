"""Data-space score-based models, as a plugin."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    yield Component(
        "model",
        "sgm",
        "sgmkit_sgm.sgm:Sgm",
        "score-based model in data space: any process, any network",
    )
