"""Networks: a residual MLP for vectors, and U-Nets for images.

Read `blocks` (initial weights, the embedding of time and label, residual blocks, attention,
resampling), then `mlp`, `unet`, and `ncsnpp_blocks` before `ncsnpp`: a network only assembles
blocks. Another network (DDPM++, EDM's) is a module beside these and one more line below: its class
subclasses `sgmkit.Network` and takes ``in_shape`` and ``out_shape`` first and its options after
them. The plugin imports sgmkit's public rooms and torch.
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
