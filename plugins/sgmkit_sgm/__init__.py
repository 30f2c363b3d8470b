"""Score-based models in data space: the model ``sgm``.

Read `parameterisation` (what the network sees and predicts), `score_matching` (the problem that
trains it), `cross_entropy` (what latents cost under it), then `sgm` (the model, which adds the
network). The plugin imports sgmkit's public rooms and torch.
"""

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
