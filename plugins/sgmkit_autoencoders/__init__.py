"""Autoencoders: encoders into Gaussian latents, with their decoders."""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

AUTOENCODERS = (
    ("conv", "conv:Conv", "small residual VAE for images, which trains on a CPU"),
    ("nvae", "nvae:NVAE", "deep hierarchy of latents with flows, as LSGM has it"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary in AUTOENCODERS:
        yield Component("autoencoder", name, f"sgmkit_autoencoders.{target}", summary)
