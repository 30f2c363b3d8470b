r"""Gaussian mixtures observed with Gaussian noise: the posterior mean and the log-density.

Under a linear SDE each coordinate x of the data is observed through k whitened channels
``w = L^{-1} u = rho x + eps``. Their sufficient statistic is ``y = rho . w / |rho|^2``, which is
``x + N(0, v)`` with ``v = 1/|rho|^2``: under any process with any number of phases, a mixture is a
mixture observed through one scalar Gaussian channel.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Channel(nn.Module, ABC):
    """A mixture of J Gaussian components over N coordinates, observed with Gaussian noise.

    A subclass evaluates one chunk of components; chunks are merged by their evidence, so that
    50,000 components of 784 coordinates fit.

    Attributes:
        weights: w_j of the components, ``(J,)``.
        means: mu_j, ``(J, N)``.
        elements: numbers in the largest temporary; this many are 64 MiB in float64.
    """

    weights: Tensor
    means: Tensor
    elements: int = 1 << 23

    @abstractmethod
    def evaluate(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """The joint log-densities of J' components, and their common posterior mean.

        Args:
            y: observations, ``(B, N)``.
            v: noise variance, ``()`` or ``(B, 1)``.
            part: which components.

        Returns:
            ``log w_j N(y; mu_j, c_j + v)``, ``(B, J')``, and ``y - E[x | y, x of part]``,
            ``(B, N)``.
        """

    @abstractmethod
    def chunk_size(self, rows: int) -> int:
        """How many components to evaluate at a time for ``rows`` observations."""

    def forward(self, y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior mean and the density of observations.

        Args:
            y: observations ``x + sqrt(v) noise``, ``(B, N)``.
            v: noise variance, ``()`` or ``(B,)``.

        Returns:
            ``y - E[x | y]``, ``(B, N)``, and ``log p(y)``, nats, ``(B,)``. The difference is
            computed as such: subtracting a posterior mean from y would lose its digits at small v.
        """
        v = v[:, None] if v.ndim else v
        size = max(1, self.chunk_size(len(y)))
        log_joint, residual = self.evaluate(y, v, slice(0, size))
        evidence = torch.logsumexp(log_joint, 1)
        for start in range(size, len(self.means), size):  # merged at once: memory for one chunk
            log_joint, more = self.evaluate(y, v, slice(start, start + size))
            part = torch.logsumexp(log_joint, 1)
            residual = torch.lerp(residual, more, torch.sigmoid(part - evidence)[:, None])
            evidence = torch.logaddexp(evidence, part)
        return residual, evidence

    def draw(self, uniform: Tensor, z: Tensor) -> Tensor:
        """Data from uniform numbers ``(B,)`` and normal ones ``(B, N)``: ``(B, N)``."""
        total = self.weights.cumsum(0)
        component = torch.searchsorted(total, uniform * total[-1]).clamp(max=len(total) - 1)
        return self.means[component] + self.std(component) * z

    @abstractmethod
    def std(self, component: Tensor) -> Tensor:
        """Standard deviations of components ``(B,)``, which broadcast to ``(B, N)``."""


class DiagonalChannel(Channel):
    """Components with a variance c_jn for each coordinate: ``variances (J, N)``."""

    variances: Tensor

    def __init__(self, weights: Tensor, means: Tensor, variances: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)

    def chunk_size(self, rows: int) -> int:
        return self.elements // max(1, rows * self.means.shape[1])

    def evaluate(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        total = self.variances[part] + (v[..., None] if v.ndim else v)  # c_jn + v
        apart = y[:, None] - self.means[part]
        exponent = (apart.square() / total + torch.log(2 * math.pi * total)).sum(-1)
        log_joint = self.weights[part].log() - 0.5 * exponent
        # y - E[x | y, j] = v / (c_j + v) (y - mu_j)
        residual = (v[..., None] if v.ndim else v) / total * apart
        return log_joint, (torch.softmax(log_joint, 1)[..., None] * residual).sum(1)

    def std(self, component: Tensor) -> Tensor:
        return self.variances[component].sqrt()


class EqualChannel(Channel):
    """Components of equal weight and one common variance: an empirical mixture.

    It is evaluated by matrix products, which is fast.
    """

    centre: Tensor

    def __init__(self, means: Tensor, variance: float) -> None:
        super().__init__()
        self.register_buffer("weights", means.new_full((len(means),), 1 / len(means)))
        self.register_buffer("centre", means.mean(0))
        self.register_buffer("means", means)
        self.variance = variance

    def chunk_size(self, rows: int) -> int:
        return self.elements // max(rows, self.means.shape[1])

    def evaluate(self, y: Tensor, v: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        total = self.variance + v
        # Distances from centred vectors: the cancellation of |y|^2 - 2 y.mu + |mu|^2 stays small.
        query, points = y - self.centre, self.means[part] - self.centre
        square = query.square().sum(1, keepdim=True) + points.square().sum(1)
        square = torch.addmm(square, query, points.T, alpha=-2).clamp_min(0)
        norm = y.shape[1] * torch.log(2 * math.pi * total)
        log_joint = self.weights[part].log() - 0.5 * (square / total + norm)
        return log_joint, v / total * (query - torch.softmax(log_joint, 1) @ points)

    def std(self, component: Tensor) -> Tensor:
        return self.means.new_full((1, 1), math.sqrt(self.variance))
