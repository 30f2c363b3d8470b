"""Latent score-based models: an autoencoder whose prior is a score-based model, as a plugin."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

MODELS = (
    ("lsgm", "lsgm:Lsgm", "autoencoder whose prior is a score-based model, trained end to end"),
    ("normal", "normal:Normal", "N(0, I) in the place of a trained prior: the plain VAE's"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary in MODELS:
        yield Component("model", name, f"sgmkit_lsgm.{target}", summary)
