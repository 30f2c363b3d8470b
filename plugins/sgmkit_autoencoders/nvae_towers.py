"""The two towers of NVAE: the encoder's features of an image, and the decoder with its groups."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.normalising_flow import normalising_flow
from sgmkit_autoencoders.nvae_cells import Cell, swish_conv
from sgmkit_autoencoders.nvae_convs import normed


@dataclass(frozen=True)
class Plan:
    """Options of both towers. Widths are numbers of channels at each size, full size first.

    Args:
        encoder_widths: widths of the encoder.
        decoder_widths: widths of the decoder.
        size: height and width of the coarsest latents.
        blocks: halvings before the latents, and doublings after.
        cells: cells of each of these blocks.
        groups: groups at each size that has latents.
        latents: channels of a group.
        encoder_cells: cells of the encoder before a group.
        decoder_cells: cells of the decoder after a group.
        inverted: whether the decoder has inverted residuals: 6 times wider inside, and 3 times
            after the latents.
        squeeze: whether cells have squeeze and excitation.
        flows: pairs of shifts in each group.
        pyramid: whether strided convolutions are added to the encoder at each halving between
            latents.
    """

    encoder_widths: list[int]
    decoder_widths: list[int]
    size: tuple[int, int]
    blocks: int
    cells: int
    groups: int
    latents: int
    encoder_cells: int
    decoder_cells: int
    inverted: bool
    squeeze: bool
    flows: int
    pyramid: bool


class Encoder(nn.Module):
    """The bottom-up tower: features for each group of latents.

    Args:
        inputs: channels of the image.
        plan: options.
    """

    def __init__(self, inputs: int, plan: Plan) -> None:
        super().__init__()
        cell, self.each = partial(Cell, squeeze=plan.squeeze), plan.groups
        self.stem = normed(inputs, plan.encoder_widths[0])
        before = list[nn.Module]()
        for width, after in pairwise(plan.encoder_widths[: plan.blocks + 1]):
            before += [cell(width, width) for _ in range(plan.cells - 1)]
            before.append(cell(width, after, "down"))
        self.before = nn.Sequential(*before)
        own = plan.encoder_widths[plan.blocks :]
        self.groups = nn.ModuleList(
            nn.Sequential(*(cell(width, width) for _ in range(plan.encoder_cells)))
            for width in own
            for _ in range(plan.groups)
        )
        self.down = nn.ModuleList(cell(width, after, "down") for width, after in pairwise(own))
        pyramid = (swish_conv(width, after, stride=2) for width, after in pairwise(own))
        self.pyramid = nn.ModuleList(pyramid if plan.pyramid else ())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of each group, ``(B, width, H, W)``, the coarsest first as groups are drawn."""
        h = level = self.before(self.stem(x))
        features = list[Tensor]()
        for place, group in enumerate(self.groups):
            step, first = place // self.each - 1, place % self.each == 0
            if place and first:
                h = self.down[step](h)
                if len(self.pyramid):
                    level = self.pyramid[step](level)
                    h = h + level
            h = group(h)
            features.append(h)
        return features[::-1]


def decoder_cell(plan: Plan, wider: int = 6) -> partial[Cell]:
    """`Cell` with the options of the decoder."""
    return partial(Cell, wider=wider if plan.inverted else 0, squeeze=plan.squeeze)


class Group(nn.Module):
    """A group of latents in the decoder: their law given the image, and their use.

    Args:
        plan: options of both towers.
        level: number of its size among the widths; 0 is full size.
        first: whether it is the group that is drawn first.
    """

    def __init__(self, plan: Plan, level: int, first: bool) -> None:
        super().__init__()
        seen, width = plan.encoder_widths[level], plan.decoder_widths[level]
        latents = plan.latents
        cells = (decoder_cell(plan)(width, width) for _ in range(plan.decoder_cells))
        # Checkpoints know these layers by their names: `look` maps the state to the features'
        # channels, `ask` gives mean and log std, `tell` maps latents before `join` adds them.
        self.look = None if first else normed(width, seen, 1)
        self.ask = normed(seen, 2 * latents)
        self.flow = normalising_flow(latents, plan.flows)
        self.tell = normed(latents, latents)
        self.join = normed(width + latents, width, 1)
        self.cells = nn.Sequential(*cells)

    def law(self, feature: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, before bounds, ``(B, latents, H, W)`` each.

        Args:
            feature: of the encoder, ``(B, width, H, W)``.
            state: of the decoder, which depends on all groups drawn before.
        """
        h = feature if self.look is None else feature + self.look(state)
        mean, log_std = self.ask(F.elu(h)).chunk(2, 1)
        return mean, log_std

    def forward(self, state: Tensor, z: Tensor) -> Tensor:
        """The state ``(B, width, H, W)`` with latents z ``(B, latents, H, W)`` added."""
        return self.cells(self.join(torch.cat([state, self.tell(z)], 1)))


class Decoder(nn.Module):
    """The top-down tower: a state to which groups of latents are added, and the output from it.

    Args:
        outputs: channels of the output.
        plan: options of both towers.
    """

    def __init__(self, outputs: int, plan: Plan) -> None:
        super().__init__()
        self.each, widths = plan.groups, plan.decoder_widths
        self.start = nn.Parameter(nn.init.uniform_(torch.empty(widths[-1], *plan.size)))
        levels = range(len(widths) - 1, plan.blocks - 1, -1)
        places = ((level, place) for level in levels for place in range(plan.groups))
        self.groups = nn.ModuleList(
            Group(plan, level, first=level == levels[0] and not place) for level, place in places
        )
        cell = decoder_cell(plan)
        self.up = nn.ModuleList(
            cell(widths[level], widths[level - 1], "up") for level in levels[:-1]
        )
        cell, after = decoder_cell(plan, wider=3), list[nn.Module]()
        for width, then in pairwise(widths[plan.blocks :: -1]):
            after.append(cell(width, then, "up"))
            after += [cell(then, then) for _ in range(plan.cells - 1)]
        self.after = nn.Sequential(*after)
        self.leave = normed(widths[0], outputs)

    def group(self, place: int) -> Group:
        """The group that is drawn at this place in the order."""
        return cast(Group, self.groups[place])

    def begin(self, rows: int) -> Tensor:
        """The initial state, ``(rows, width, *size)``, which is learned."""
        return self.start.expand(rows, *self.start.shape)

    def add_group(self, place: int, state: Tensor, z: Tensor) -> Tensor:
        """The state for the next group: latents are added; after a scale the size is doubled.

        Args:
            place: of the group in the order of drawing.
            state: ``(B, width, H, W)``.
            z: latents of the group, ``(B, latents, H, W)``.
        """
        state = self.groups[place](state, z.to(self.start.dtype))
        step, last = divmod(place + 1, self.each)
        return self.up[step - 1](state) if not last and step <= len(self.up) else state

    def forward(self, state: Tensor) -> Tensor:
        """The output for the whole image, ``(B, outputs, H, W)``, from the last state."""
        return self.leave(F.elu(self.after(state)))
