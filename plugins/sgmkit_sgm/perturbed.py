"""Data with noise on them: the problem that a network in training is asked to solve."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit import Kernel
from sgmkit.linear import act
from sgmkit.prediction import whole_operator


@dataclass(frozen=True)
class Perturbed:
    """States of a batch, each at a time of its own.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: that they were drawn with, ``(B,)``.
        eps: the noise of all phases, ``(B, k, *event)``.
        kernel: the law of the states given the data.
        given: that given what is matched: the data, or all of u_0.
        factor: R at the times, ``(B, k, k)``, where the noise of all phases is predicted; or None.
        u: the states, ``(B, k, *event)``.
        y: labels ``(B,)`` or None.
    """

    t: Tensor
    density: Tensor
    eps: Tensor
    kernel: Kernel
    given: Kernel
    factor: Tensor | None
    u: Tensor
    y: Tensor | None = None

    def target(self, driven: int) -> Tensor:
        """The noise to be found: that of the driven phases, or of all in the frame of R."""
        if self.factor is None:
            return self.eps[:, -driven:]
        return act(torch.linalg.solve(self.factor, self.kernel.chol).to(self.u), self.eps)

    def weight(self, driven: Tensor, alike: bool) -> Tensor:
        """The weight of the driven noise, as one of the noise to be found; ``alike``: of all."""
        if self.factor is None:
            return driven
        to_driven = whole_operator(self.kernel, self.factor, driven.shape[-1])
        if alike:
            return 2 * torch.eye(len(self.factor[0])).to(driven).expand_as(self.factor)
        return to_driven.mT @ driven @ to_driven


@dataclass(frozen=True)
class Match:
    """The score-matching problem of one batch, and how well the network solves it.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: that they were drawn with, ``(B,)``.
        weight: W of the loss, ``(B, r, r)``; see `sgmkit.score.weight_matrix`.
        error: driven noise less the network's, ``(B, r, *event)``; of all phases, k for r, where
            the network predicts the whole noise.
    """

    t: Tensor
    density: Tensor
    weight: Tensor
    error: Tensor
