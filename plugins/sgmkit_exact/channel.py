r"""Gaussian mixtures seen through a scalar Gaussian channel: posterior mean and log-density.

Under a linear SDE the data of one coordinate meets k whitened channels ``w = rho x + eps``, and
``rho . w / |rho|^2 = x + N(0, 1/|rho|^2)`` is all they say about it: a mixture under any process,
of any number of phases, is a mixture seen through one scalar channel of variance ``1/|rho|^2``.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

CHUNK = 1 << 23
"""Elements of the largest temporary: 64 MiB in float64."""


class Channel(nn.Module, ABC):
    """A mixture of J components over N coordinates, observed with Gaussian noise.

    A subclass evaluates one chunk of components; chunks are merged by their evidence, so 50,000
    components of 784 coordinates fit.
    """

    weights: Tensor
    means: Tensor

    @abstractmethod
    def chunk(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Log joint weights ``(B, J')`` of ``part`` and each one's posterior mean, averaged.

        Returns ``log w_j N(y; mu_j, c_j + v)``, ``(B, J')``, and ``y - E[x | y, part]`` ``(B, N)``.
        """

    @abstractmethod
    def width(self, rows: int) -> int:
        """Components to evaluate at a time for ``rows`` queries."""

    def forward(self, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What an observation says.

        Args:
            y: observations ``x + sqrt(v) noise``, ``(B, N)``.
            v: noise variance, ``()`` or ``(B,)``.

        Returns:
            ``y - E[x | y]``, ``(B, N)``, and ``log p(y)``, ``(B,)``. The difference is formed
            directly: at small v it would lose its digits.
        """
        v = v[:, None] if v.ndim else v
        step = max(1, self.width(len(y)))
        logits, residual = self.chunk(y, v, slice(0, step))
        evidence = torch.logsumexp(logits, 1)
        for start in range(step, len(self.means), step):  # merged as they come: one is kept
            logits, more = self.chunk(y, v, slice(start, start + step))
            part = torch.logsumexp(logits, 1)
            residual = torch.lerp(residual, more, torch.sigmoid(part - evidence)[:, None])
            evidence = torch.logaddexp(evidence, part)
        return residual, evidence

    def draw(self, uniform: Tensor, z: Tensor) -> Tensor:
        """Data from uniform numbers ``(B,)`` and normal ones ``(B, N)``: ``(B, N)``."""
        total = self.weights.cumsum(0)
        place = torch.searchsorted(total, uniform * total[-1]).clamp(max=len(total) - 1)
        return self.means[place] + self.spread(place) * z

    @abstractmethod
    def spread(self, place: Tensor) -> Tensor:
        """Standard deviations of the components ``place (B,)``, broadcastable to ``(B, N)``."""


class DiagonalChannel(Channel):
    """Components with a variance for each coordinate: ``variances (J, N)``."""

    variances: Tensor

    def __init__(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)

    def width(self, rows: int) -> int:
        return CHUNK // max(1, rows * self.means.shape[1])

    def chunk(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        total = self.variances[part] + (v[..., None] if v.ndim else v)
        apart = y[:, None] - self.means[part]
        exponent = (apart.square() / total + torch.log(2 * math.pi * total)).sum(-1)
        logits = self.weights[part].log() - 0.5 * exponent
        shrink = (v[..., None] if v.ndim else v) / total * apart
        return logits, (torch.softmax(logits, 1)[..., None] * shrink).sum(1)

    def spread(self, place: Tensor) -> Tensor:
        return self.variances[place].sqrt()


class EqualChannel(Channel):
    """Components of one common variance: the empirical mixture, evaluated by matrix products."""

    centre: Tensor

    def __init__(self, means: Tensor, variance: float) -> None:
        super().__init__()
        self.register_buffer("weights", means.new_full((len(means),), 1 / len(means)))
        self.register_buffer("centre", means.mean(0))
        self.register_buffer("means", means)
        self.variance = variance

    def width(self, rows: int) -> int:
        return CHUNK // max(rows, self.means.shape[1])

    def chunk(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        total = self.variance + v
        # Distances from centred vectors: the cancellation of |y|^2 - 2 y.mu + |mu|^2 stays small.
        query, points = y - self.centre, self.means[part] - self.centre
        square = query.square().sum(1, keepdim=True) + points.square().sum(1)
        square = torch.addmm(square, query, points.T, alpha=-2).clamp_min(0)
        norm = y.shape[1] * torch.log(2 * math.pi * total)
        logits = self.weights[part].log() - 0.5 * (square / total + norm)
        return logits, v / total * (query - torch.softmax(logits, 1) @ points)

    def spread(self, place: Tensor) -> Tensor:
        return self.means.new_full((1, 1), math.sqrt(self.variance))
