"""The two towers of NVAE: features of an image, coarser and coarser; latents back to an image."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgmkit_autoencoders.nvae_cells import Cell, swish_conv
from sgmkit_autoencoders.nvae_convs import normed
from sgmkit_autoencoders.nvae_flow import flow


@dataclass(frozen=True)
class Plan:
    """What both towers are built by. Widths are channels at each size, the full one first.

    Args:
        seen: widths of the encoder.
        widths: of the decoder.
        size: height and width of the coarsest latents.
        blocks, cells: halvings before the latents and doublings after, and cells of each.
        groups, latents: groups at each size that has latents, and channels of a group.
        before, after: cells of the encoder before a group, of the decoder after it.
        mobile, squeeze: inverted residuals in the decoder (6 times as wide, and 3 times after the
            latents); see `Cell`.
        flows: pairs of shifts in each group.
        pyramid: of strided convolutions, added to the encoder at every halving between latents.
    """

    seen: list[int]
    widths: list[int]
    size: tuple[int, int]
    blocks: int
    cells: int
    groups: int
    latents: int
    before: int
    after: int
    mobile: bool
    squeeze: bool
    flows: int
    pyramid: bool


class Encoder(nn.Module):
    """Bottom up: a feature for every group of latents.

    Args:
        inputs: channels of the image.
        plan: of both towers.
    """

    def __init__(self, inputs: int, plan: Plan) -> None:
        super().__init__()
        cell, self.each = partial(Cell, squeeze=plan.squeeze), plan.groups
        self.stem = normed(inputs, plan.seen[0])
        before = list[nn.Module]()
        for width, after in pairwise(plan.seen[: plan.blocks + 1]):
            before += [cell(width, width) for _ in range(plan.cells - 1)]
            before.append(cell(width, after, "down"))
        self.before = nn.Sequential(*before)
        own = plan.seen[plan.blocks :]
        self.groups = nn.ModuleList(
            nn.Sequential(*(cell(width, width) for _ in range(plan.before)))
            for width in own
            for _ in range(plan.groups)
        )
        self.down = nn.ModuleList(cell(width, after, "down") for width, after in pairwise(own))
        pyramid = (swish_conv(width, after, stride=2) for width, after in pairwise(own))
        self.pyramid = nn.ModuleList(pyramid if plan.pyramid else ())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features ``(B, width, H, W)`` of each group, in the order of drawing: coarsest first."""
        h = level = self.before(self.stem(x))
        found = list[Tensor]()
        for place, group in enumerate(self.groups):
            step, first = place // self.each - 1, place % self.each == 0
            if place and first:
                h = self.down[step](h)
                if len(self.pyramid):
                    level = self.pyramid[step](level)
                    h = h + level
            h = group(h)
            found.append(h)
        return found[::-1]


def decoder_cell(plan: Plan, wider: int = 6) -> partial[Cell]:
    """Makes a cell of the decoder, from channels and step."""
    return partial(Cell, wider=wider if plan.mobile else 0, squeeze=plan.squeeze)


class Group(nn.Module):
    """A group of latents: what is said of them, and what follows from them.

    Args:
        plan: of both towers.
        level: the place of its size among all.
        first: whether nothing was drawn before it.
    """

    def __init__(self, plan: Plan, level: int, first: bool) -> None:
        super().__init__()
        seen, width, latents = plan.seen[level], plan.widths[level], plan.latents
        cells = (decoder_cell(plan)(width, width) for _ in range(plan.after))
        self.look = None if first else normed(width, seen, 1)
        self.ask = normed(seen, 2 * latents)
        self.flow = flow(latents, plan.flows)
        self.tell = normed(latents, latents)
        self.join = normed(width + latents, width, 1)
        self.cells = nn.Sequential(*cells)

    def law(self, feature: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, without bounds: ``(B, latents, H, W)`` each."""
        h = feature if self.look is None else feature + self.look(state)
        mean, log_std = self.ask(F.elu(h)).chunk(2, 1)
        return mean, log_std

    def forward(self, state: Tensor, z: Tensor) -> Tensor:
        """The state once z ``(B, latents, H, W)`` is known, ``(B, width, H, W)``."""
        return self.cells(self.join(torch.cat([state, self.tell(z)], 1)))


class Decoder(nn.Module):
    """Top down: a state that knows one group after the other, and what it says in the end.

    Args:
        outputs: numbers for each pixel.
        plan: of both towers.
    """

    def __init__(self, outputs: int, plan: Plan) -> None:
        super().__init__()
        self.each, widths = plan.groups, plan.widths
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
        """The group that is drawn at this place."""
        return cast(Group, self.groups[place])

    def begin(self, rows: int) -> Tensor:
        """The state that knows nothing, ``(rows, width, *size)``."""
        return self.start.expand(rows, *self.start.shape)

    def follow(self, place: int, state: Tensor, z: Tensor) -> Tensor:
        """The state of the next group, from that of this one and its latents."""
        state = self.groups[place](state, z.to(self.start.dtype))
        step, last = divmod(place + 1, self.each)
        return self.up[step - 1](state) if not last and step <= len(self.up) else state

    def forward(self, state: Tensor) -> Tensor:
        """What the last state says: ``(B, outputs, H, W)`` of the whole image."""
        return self.leave(F.elu(self.after(state)))
