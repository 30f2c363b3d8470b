"""NVAE with plain Normal priors, the deep hierarchical VAE of LSGM."""

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

Draw = tuple[Tensor, Tensor, Tensor, Tensor]
"""Latents of one group: z, mean, std and base."""


class NVAE(Autoencoder):
    """Groups of latents at one or more sizes, each drawn given the image and all groups before it.

    NVAE (Vahdat and Kautz 2020) as LSGM has it (Vahdat, Kreis and Kautz 2021): each group is N(0,
    I) to the decoder, and what the encoder says of it is no correction of that. So every group of
    the coarsest scale can be given to a prior of its own. Residual cells with batch norm, whose
    statistics averages of the weights do not share; weight normalisation (see `normed`); smooth
    bounds on means and scales; flows that keep volumes.

    Drawing and decoding both run the decoder's groups, for what is decoded need not be what was
    drawn: twice in each step of training.

    The defaults are LSGM's for MNIST. For CIFAR-10 (its balanced and FID models) it has
    ``channels=128:multipliers=(1,2):blocks=1:cells=2:groups=20:latents=9:encoder_cells=2:
    decoder_cells=2:architecture=bnswish``.

    Raises:
        BadValue: for shapes that are no images or smaller than the halvings, or multipliers of
            another number than sizes.
    """

    averaged = False

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        channels: Annotated[int, Ge(4), Doc("of the encoder at full size, times the first")] = 64,
        decoder_channels: Annotated[
            int, Ge(0), Doc("of the decoder likewise; 0: as the encoder")
        ] = 0,
        multipliers: Annotated[
            tuple[int, ...], Doc("of the channels, for each size; blocks + latent_scales of them")
        ] = (1, 2, 2),
        blocks: Annotated[int, Ge(0), Doc("halvings before the latents, doublings after")] = 2,
        cells: Annotated[int, Gt(0), Doc("of each of these blocks")] = 3,
        latent_scales: Annotated[int, Gt(0), Doc("sizes with latents, each half the last")] = 1,
        groups: Annotated[int, Gt(0), Doc("of latents at each scale")] = 2,
        latents: Annotated[int, Gt(0), Doc("channels of each group")] = 20,
        encoder_cells: Annotated[int, Gt(0), Doc("before each group")] = 1,
        decoder_cells: Annotated[int, Gt(0), Doc("after each group")] = 1,
        architecture: Annotated[
            Literal["mbconv", "bnswish"], Doc("the decoder's cells: inverted or plain residuals")
        ] = "mbconv",
        squeeze: Annotated[bool, Doc("squeeze and excitation in every cell")] = True,
        flows: Annotated[int, Ge(0), Doc("pairs of autoregressive shifts of each group")] = 0,
        input_skip: Annotated[bool, Doc("a pyramid beside the encoder's scales")] = False,
        limit: Annotated[float, Gt(0), Doc("of the logarithm of a standard deviation")] = 5.0,
        multiple: Annotated[
            int, Gt(0), Doc("sides are padded to multiples of it, as of the halvings")
        ] = 8,
    ) -> None:
        super().__init__(in_shape, out_shape)
        height, width = image_size(self.in_shape, self.out_shape)
        count, halved = blocks + latent_scales, 2 ** (blocks + latent_scales - 1)
        if len(multipliers) != count or min(multipliers) < 1:
            told = f"{count} positive numbers, for {blocks} blocks and {latent_scales} scales"
            raise BadValue(f"multipliers must be {told}, not {tuple(multipliers)}")
        if min(height, width) < halved:
            told = f"{height} x {width} is too small for {count - 1} halvings"
            raise BadValue(f"{told}: set fewer blocks or latent_scales")
        self._margins, whole = _margins((height, width), math.lcm(halved, multiple))
        self._groups, self._limit, self._flows = (latents,) * groups, limit, flows
        sizes = [
            (whole[0] * 2**scale // halved, whole[1] * 2**scale // halved)
            for scale in range(latent_scales)
        ]
        self.scales = tuple((groups * latents, *size) for size in sizes)
        plan = Plan(
            seen=[channels * multiplier for multiplier in multipliers],
            widths=[(decoder_channels or channels) * multiplier for multiplier in multipliers],
            size=sizes[0],
            blocks=blocks,
            cells=cells,
            groups=groups,
            latents=latents,
            before=encoder_cells,
            after=decoder_cells,
            mobile=architecture == "mbconv",
            squeeze=squeeze,
            flows=flows,
            pyramid=input_skip,
        )
        self.encoder, self.decoder = Encoder(in_shape[0], plan), Decoder(out_shape[0], plan)

    def encode(self, x: Tensor, noise: Noise) -> tuple[Latents, ...]:
        features = self.encoder(F.pad(x, self._margins, value=-1.0))
        state, z, found = self.decoder.begin(len(x)), None, list[Draw]()
        for place, feature in enumerate(features):
            if z is not None:
                state = self.decoder.follow(place - 1, state, z)
            group = self.decoder.group(place)
            mean, std = bounded(*group.law(feature, state), self._limit)
            base = torch.addcmul(mean, std, noise(mean))
            z = group.flow(base)
            found.append((z, mean, std, base))
        each = len(self._groups)
        return tuple(self._together(found[i : i + each]) for i in range(0, len(found), each))

    def _together(self, found: Sequence[Draw]) -> Latents:
        """The latents of one scale, from those of its groups."""
        z, mean, std, base = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return Latents(z, mean, std, self._groups, base if self._flows else None)

    def decode(self, z: Sequence[Tensor]) -> Tensor:
        state, place = self.decoder.begin(len(z[0])), 0
        for scale in z:
            for part in scale.split(self._groups, 1):
                state = self.decoder.follow(place, state, part)
                place += 1
        left, _, top, _ = self._margins
        height, width = self.out_shape[1:]
        return self.decoder(state)[:, :, top : top + height, left : left + width]


def _margins(
    size: tuple[int, int], factor: int
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Background left, right, above and below, half of it on each side; and the whole size."""
    whole = -(-size[0] // factor) * factor, -(-size[1] // factor) * factor
    more = whole[1] - size[1], whole[0] - size[0]
    return (more[0] // 2, more[0] - more[0] // 2, more[1] // 2, more[1] - more[1] // 2), whole
