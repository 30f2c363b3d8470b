"""Autoencoders of images, as a plugin: encoders into Gaussian latents, with their decoders.

Read `conv`, the small one, first. `nvae` is LSGM's deep hierarchy of latents: its encoder and
decoder are in `nvae_towers`, built of the residual cells in `nvae_cells`, of weight-normalised
convolutions (`nvae_convs`) and, by option, of a `normalising_flow` of the latents. `shapes` checks
the shapes of images. The package imports `sgmkit` and torch.
"""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

AUTOENCODERS = (
    ("conv", "conv:Conv", "small residual VAE for images, which trains on a CPU"),
    ("nvae", "nvae:NVAE", "deep hierarchical VAE of LSGM, with normalising flows by option"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary in AUTOENCODERS:
        yield Component("autoencoder", name, f"sgmkit_autoencoders.{target}", summary)
