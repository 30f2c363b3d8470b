"""A small convolutional network and its training: the same weights each time on one machine."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from sgmkit import Batch, SeededNoise
from sgmkit.noise import seeded

VERSION = 1
"""Of all that is in this module: with another number, classifiers are trained anew."""
BATCH = 128
PASSES = 2
"""Times that each image is seen, at least."""
RATE, DECAY, WARM_UP = 3e-3, 1e-2, 50
CHANNELS = (32, 64)
LARGE = 16
"""Pixels from which the first convolution takes every other one."""
SEED = 0
SOME = 4096
"""Images that features are scaled by: no more than this, evenly spaced."""


class Net(nn.Module):
    """From images ``(B, *event)`` to features ``(B, width)`` and on to logits ``(B, classes)``.

    Two 3 x 3 convolutions, the largest of each 2 x 2 pixels, one convolution more and so again;
    then two linear layers. ``scale ()`` gives features the unit that they are measured in.
    """

    scale: Tensor

    def __init__(self, event: tuple[int, ...], width: int, classes: int) -> None:
        super().__init__()
        few, many = CHANNELS
        self.body = nn.Sequential(
            nn.Conv2d(event[0], few, 3, 2 if min(event[1:]) >= LARGE else 1, padding=1),
            nn.SiLU(),
            nn.Conv2d(few, many, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(many, many, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
        )
        flat = self.body(torch.zeros(1, *event)).shape[1]
        self.features = nn.Sequential(nn.Linear(flat, width), nn.SiLU())
        self.head = nn.Linear(width, classes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``x``."""
        return self.features(self.body(x)) * self.scale


def untrained(event: tuple[int, ...], width: int, classes: int) -> Net:
    """The network with the weights that training starts from."""
    with seeded(SEED, "classifier"):
        return Net(event, width, classes)


def train(network: Net, batch: Batch, images: int) -> Net:
    """Train on ``batch``, labels included, with AdamW and a cosine of its rate; returns it.

    The items are seen in a new random order at each pass, ``images`` of them in all. In the end
    features are scaled to a mean square of one over the data, so that distances of features do not
    depend on what the weights grew to.
    """
    x, y, count = batch.x.float().clamp(-1, 1), batch.y, len(batch.x)
    assert y is not None
    steps = math.ceil(max(images, PASSES * count) / BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    noise, like = SeededNoise(SEED, range(count)), torch.empty(count)
    with _one_thread(), torch.enable_grad():
        order = torch.empty(0, dtype=torch.int64)
        for step in range(steps):
            while len(order) < BATCH:
                order = torch.cat([order, noise.uniform(like).argsort()])
            chosen, order = order[:BATCH], order[BATCH:]
            for group in optimiser.param_groups:
                wave = 0.5 + 0.5 * math.cos(math.pi * step / steps)
                group["lr"] = RATE * wave * min(1.0, (step + 1) / WARM_UP)
            logits = network.head(network(x[chosen]))
            loss = functional.cross_entropy(logits, y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    _normalise(network, x[:: math.ceil(count / SOME)])
    return network


def _normalise(network: Net, x: Tensor) -> None:
    with torch.no_grad():
        rms = network(x).square().mean().sqrt()
        network.scale.div_(rms)
        network.head.weight.mul_(rms)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
