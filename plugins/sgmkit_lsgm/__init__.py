"""Latent score-based models (LSGM, Vahdat et al. 2021) over any linear SDE, as a plugin.

Read `lsgm`, the model and its training loss, first. `latent_variable` is the part of it that bounds
need: autoencoder, prior and the law of the data. `divergence` is the KL term of the loss, weighted
by `annealing`; `regular` is a penalty beside it. `law` says what a law of data is; `observation`
has the simple ones and chooses, `levels` has those of grey levels, on top of `logistic`. `bounds`
are bounds on the likelihood, `normal` is the prior N(0, I) of a plain VAE, and `pretrained` takes
over an autoencoder from another model. The package imports `sgmkit` and torch.
"""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

MODELS = (
    ("lsgm", "lsgm:Lsgm", "autoencoder whose prior is a score-based model, trained end to end"),
    ("normal", "normal:Normal", "prior N(0, I), which makes lsgm a plain VAE"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary in MODELS:
        yield Component("model", name, f"sgmkit_lsgm.{target}", summary)
