"""NVAE with standard Normal priors of all groups: the deep hierarchical VAE of LSGM."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import Doc

from sgmkit import Autoencoder, BadValue, Latents, Noise
from sgmkit.models import bounded
from sgmkit_autoencoders.nvae_towers import Decoder, Encoder, Plan
from sgmkit_autoencoders.shapes import image_size

GroupDraw = tuple[Tensor, Tensor, Tensor, Tensor]
"""Latents of one group: z, mean, standard deviation, and the Normal draw before the flow."""


class NVAE(Autoencoder):
    """Groups of latents at one or more sizes, each drawn given the image and all groups before it.

    NVAE (Vahdat and Kautz 2020) as in LSGM (Vahdat, Kreis and Kautz 2021): the prior of every group
    is N(0, I), whatever groups come before it, and the encoder states the mean and scale of a group
    directly, not relative to a conditional prior. So all groups of the coarsest scale can be given
    to a prior of their own. The residual cells have batch norm, whose statistics do not belong to
    averaged weights, and weight normalisation (see `normed`). Means and scales have smooth bounds.
    Normalising flows, by option, preserve volume.

    Encoding and decoding both run the decoder's groups, since the latents that are decoded need not
    be those that were drawn: a step of training runs them twice.

    The default options are LSGM's for MNIST. Its balanced and FID models of CIFAR-10 have
    ``channels=128:multipliers=(1,2):blocks=1:cells=2:groups=20:latents=9:encoder_cells=2:
    decoder_cells=2:architecture=bnswish``.

    Raises:
        BadValue: for shapes that are no images or too small to be halved so often, or where the
            number of multipliers is not that of the sizes.
    """

    averaged = False

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Annotated[int, Ge(4), Doc("width of the encoder, times multipliers")] = 64,
        decoder_channels: Annotated[
            int, Ge(0), Doc("width of the decoder, times multipliers; 0: as the encoder")
        ] = 0,
        multipliers: Annotated[
            tuple[int, ...],
            Doc("of the width at each size, full size first: blocks + latent_scales numbers"),
        ] = (1, 2, 2),
        blocks: Annotated[int, Ge(0), Doc("halvings before the latents, and doublings after")] = 2,
        cells: Annotated[int, Gt(0), Doc("residual cells of each of these blocks")] = 3,
        latent_scales: Annotated[
            int, Gt(0), Doc("number of sizes with latents, each half of the one before")
        ] = 1,
        groups: Annotated[int, Gt(0), Doc("groups of latents at each scale")] = 2,
        latents: Annotated[int, Gt(0), Doc("channels of each group")] = 20,
        encoder_cells: Annotated[int, Gt(0), Doc("cells of the encoder before each group")] = 1,
        decoder_cells: Annotated[int, Gt(0), Doc("cells of the decoder after each group")] = 1,
        architecture: Annotated[
            Literal["mbconv", "bnswish"],
            Doc("cells of the decoder: inverted residuals, or plain ones"),
        ] = "mbconv",
        squeeze: Annotated[bool, Doc("whether every cell has squeeze and excitation")] = True,
        flows: Annotated[int, Ge(0), Doc("pairs of autoregressive flow layers of each group")] = 0,
        input_skip: Annotated[
            bool, Doc("add strided convolutions beside the encoder's scales")
        ] = False,
        limit: Annotated[float, Gt(0), Doc("bound on the logarithm of a standard deviation")] = 5.0,
        multiple: Annotated[int, Gt(0), Doc("sides are padded to multiples of this number")] = 8,
    ) -> None:
        super().__init__(in_shape, out_shape)
        height, width = image_size(self.in_shape, self.out_shape)
        count, halved = blocks + latent_scales, 2 ** (blocks + latent_scales - 1)
        if len(multipliers) != count or min(multipliers) < 1:
            raise BadValue(
                f"multipliers must be {count} positive numbers, for {blocks} blocks and "
                f"{latent_scales} scales, not {tuple(multipliers)}"
            )
        if min(height, width) < halved:
            raise BadValue(
                f"{height} x {width} is too small for {count - 1} halvings: "
                "set fewer blocks or latent_scales"
            )
        self._margins, whole = _margins((height, width), math.lcm(halved, multiple))
        self._groups, self._limit, self._flows = (latents,) * groups, limit, flows
        sizes = [
            (whole[0] * 2**scale // halved, whole[1] * 2**scale // halved)
            for scale in range(latent_scales)
        ]
        self.scales = tuple((groups * latents, *size) for size in sizes)
        plan = Plan(
            encoder_widths=[channels * multiplier for multiplier in multipliers],
            decoder_widths=[
                (decoder_channels or channels) * multiplier for multiplier in multipliers
            ],
            size=sizes[0],
            blocks=blocks,
            cells=cells,
            groups=groups,
            latents=latents,
            encoder_cells=encoder_cells,
            decoder_cells=decoder_cells,
            inverted=architecture == "mbconv",
            squeeze=squeeze,
            flows=flows,
            pyramid=input_skip,
        )
        self.encoder, self.decoder = Encoder(in_shape[0], plan), Decoder(out_shape[0], plan)

    def encode(self, x: Tensor, noise: Noise) -> tuple[Latents, ...]:
        features = self.encoder(F.pad(x, self._margins, value=-1.0))
        state, z, draws = self.decoder.begin(len(x)), None, list[GroupDraw]()
        for place, feature in enumerate(features):
            if z is not None:
                state = self.decoder.add_group(place - 1, state, z)
            group = self.decoder.group(place)
            mean, std = bounded(*group.law(feature, state), self._limit)
            base = torch.addcmul(mean, std, noise(mean))
            z = group.flow(base)
            draws.append((z, mean, std, base))
        each = len(self._groups)
        return tuple(self._scale(draws[i : i + each]) for i in range(0, len(draws), each))

    def _scale(self, draws: Sequence[GroupDraw]) -> Latents:
        """The latents of one scale, from those of its groups."""
        z, mean, std, base = (torch.cat(parts, 1) for parts in zip(*draws, strict=True))
        return Latents(z, mean, std, self._groups, base if self._flows else None)

    def decode(self, z: Sequence[Tensor]) -> Tensor:
        state, place = self.decoder.begin(len(z[0])), 0
        for scale in z:
            for part in scale.split(self._groups, 1):
                state = self.decoder.add_group(place, state, part)
                place += 1
        left, _, top, _ = self._margins
        height, width = self.out_shape[1:]
        return self.decoder(state)[:, :, top : top + height, left : left + width]


def _margins(
    size: tuple[int, int], factor: int
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Padding to multiples of ``factor``, half of it on each side.

    Returns:
        The margins left, right, above and below, and the padded height and width.
    """
    whole = -(-size[0] // factor) * factor, -(-size[1] // factor) * factor
    more = whole[1] - size[1], whole[0] - size[0]
    return (more[0] // 2, more[0] - more[0] // 2, more[1] // 2, more[1] - more[1] // 2), whole
