"""Networks: a residual MLP for vectors, and U-Nets for images.

Another one (DDPM++, EDM's) is a module beside these and one more line below: its class
subclasses `sgmkit.Network`, takes ``in_shape`` and ``out_shape`` first and its options after them.
What networks share is in `sgmkit_networks.blocks`: weights with their initial values, the
embedding of time and label, residual blocks, attention, resampling. A network only assembles.
"""

from collections.abc import Iterator

from sgmkit import Component, hookimpl

NETWORKS = (
    ("mlp", "mlp:MLP", "residual MLP for vectors"),
    ("ncsnpp", "ncsnpp:NCSNpp", "NCSN++, the U-Net of LSGM's priors"),
    ("unet", "unet:UNet", "residual U-Net with attention, for images of any size"),
)


@hookimpl
def sgmkit_components() -> Iterator[Component]:
    for name, target, summary in NETWORKS:
        yield Component("network", name, f"sgmkit_networks.{target}", summary)
