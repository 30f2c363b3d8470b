"""Data with noise on them: the problem that a network in training is asked to solve."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgmkit import BadValue, Kernel, LinearSDE
from sgmkit.processes import act_on_phases, time_at_snr, whole_noise_operator

EARLIEST = 1e-9
"""Of the horizon: a time that is as good as 0."""


def time_of_noise(sde: LinearSDE, noise: float) -> float:
    """When data of a unit have got noise of this standard deviation, whatever the process: t.

    To four digits, so that reports print it whole.

    Raises:
        BadValue: for noise that the process never has, or starts with.
    """
    low, high = EARLIEST * sde.horizon, sde.horizon
    first, last = sde.kernel(torch.tensor([low, high], dtype=torch.float64)).snr.rsqrt().tolist()
    if not first < noise < last:
        name = type(sde).__name__
        raise BadValue(f"noise_min = {noise:g} is not between {first:.3g} and {last:.3g}, {name}'s")
    goal = -2 * torch.tensor([noise], dtype=torch.float64).log()
    return float(f"{float(time_at_snr(sde, goal, low)):.4g}")


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
        return act_on_phases(torch.linalg.solve(self.factor, self.kernel.chol).to(self.u), self.eps)

    def weight(self, driven: Tensor, alike: bool) -> Tensor:
        """The weight of the driven noise, as one of the noise to be found; ``alike``: of all."""
        if self.factor is None:
            return driven
        to_driven = whole_noise_operator(self.kernel, self.factor, driven.shape[-1])
        if alike:
            return 2 * torch.eye(len(self.factor[0])).to(driven).expand_as(self.factor)
        return to_driven.mT @ driven @ to_driven


@dataclass(frozen=True)
class Match:
    """The score-matching problem of one batch, and how well the network solves it.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: that they were drawn with, ``(B,)``.
        weight: W of the loss, ``(B, r, r)``; see `sgmkit.processes.weighting.weight_matrix`.
        error: driven noise less the network's, ``(B, r, *event)``; of all phases, k for r, where
            the network predicts the whole noise.
    """

    t: Tensor
    density: Tensor
    weight: Tensor
    error: Tensor
