"""The network of `Classifier` and its training, which is deterministic on one machine."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from sgmkit import Batch, SeededNoise
from sgmkit.noise import seeded

VERSION = 1
"""Version of everything in this module; if it changes, classifiers are trained anew."""
BATCH = 128
PASSES = 2
"""Each image is seen at least this many times."""
RATE, DECAY, WARM_UP = 3e-3, 1e-2, 50
"""Learning rate, weight decay, and steps in which the rate rises from 0."""
CHANNELS = (32, 64)
LARGE = 16
"""Sides of at least this many pixels are halved by the first convolution."""
SEED = 0
SCALED_BY = 4096
"""At most this many images, evenly spaced, determine the scale of the features."""


class ClassifierNetwork(nn.Module):
    """From images ``(B, *event)`` to features ``(B, width)``, and on to logits ``(B, classes)``.

    Two 3 x 3 convolutions, max pooling over 2 x 2 pixels, one more convolution, max pooling; then
    two linear layers. The features are multiplied by the buffer ``scale ()``, which training sets.
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
        """Features ``(B, width)`` of images ``x (B, *event)``."""
        return self.features(self.body(x)) * self.scale


def untrained(event: tuple[int, ...], width: int, classes: int) -> ClassifierNetwork:
    """The network with the weights from which training starts, always the same."""
    with seeded(SEED, "classifier"):
        return ClassifierNetwork(event, width, classes)


def train(network: ClassifierNetwork, batch: Batch, images: int) -> ClassifierNetwork:
    """Train on the labelled ``batch`` with AdamW, a warm-up and a cosine schedule; return it.

    Training sees ``images`` images in all, or more, so that each is seen `PASSES` times; each pass
    is in a new random order. In the end the features are scaled to a mean square of one over the
    data, so that distances between features do not depend on the size of the weights.
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
            rows, order = order[:BATCH], order[BATCH:]
            for group in optimiser.param_groups:
                cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
                group["lr"] = RATE * cosine * min(1.0, (step + 1) / WARM_UP)
            logits = network.head(network(x[rows]))
            loss = functional.cross_entropy(logits, y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    _normalise(network, x[:: math.ceil(count / SCALED_BY)])
    return network


def _normalise(network: ClassifierNetwork, x: Tensor) -> None:
    """Scale the features of ``x`` to a mean square of one, and leave the logits as they are."""
    with torch.no_grad():
        rms = network(x).square().mean().sqrt()
        network.scale.div_(rms)
        network.head.weight.mul_(rms)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch sum in one order, however many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
