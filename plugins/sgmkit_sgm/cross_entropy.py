r"""The cross entropy of latents under a score-based prior, and the loss that trains both.

LSGM (Vahdat et al. 2021, sec. 3.3 and app. C): the encoder's loss always has the likelihood
weighting, the prior's has its own. The paper's three algorithms are: one pass with one weighting
(1), times drawn apart for the encoder (2), and the prior's times used again for the encoder (3).
Where the weights are numbers, 1 and 3 need one pass of the network in each direction: no row's loss
depends on another row, so that the encoder's gradient for a row of z is the gradient of the prior's
loss times the ratio of the two weights.

With ``control``, the cost of the same draws under a Normal prior is replaced by its mean, which is
known in closed form. That is most of the estimate's variance, and no network has a part in it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sgmkit import CrossEntropy, Noise
from sgmkit.errors import Incompatible
from sgmkit.models import Weigh, gradient_of
from sgmkit.processes import (
    control_variate,
    over_event,
    prior_divergence,
    weight_matrix,
    weighted_square,
)
from sgmkit_sgm.score_matching import PerturbedBatch, ScoreMatching

NoiseError = Callable[[PerturbedBatch], Tensor]
"""From a batch to ``target - prediction``, ``(B, r, *event)``, or of all k phases."""


class ScaleGradient(torch.autograd.Function):
    """The identity on states, whose gradient is multiplied by one number for each row."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, ratio: Tensor) -> Tensor:
        ctx.save_for_backward(ratio)
        return u.view_as(u)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (ratio,) = ctx.saved_tensors
        (gradient,) = gradients
        return gradient * over_event(ratio, gradient), None


def check_latents(problem: ScoreMatching) -> None:
    """Refuse matching targets under which latents have no cross entropy.

    Raises:
        Incompatible: for denoising matching, where u_0 is not known from z.
    """
    if problem.parameterisation.matching == "dsm" and any(
        any(row) for row in problem.sde.start_cov
    ):
        raise Incompatible(
            "matching=dsm cannot train a prior of latents: it needs u_0, which is random given "
            "the latent; use matching=hsm"
        )


@dataclass(frozen=True)
class LatentCrossEntropy:
    """The cross entropy of latents under the prior that solves a score-matching problem.

    Args:
        problem: of the prior.
        error: target minus prediction of the prior's network, whose parameters receive gradients.
        frozen_error: the same with the network's parameters held constant: its gradient reaches
            the states only.
        control: replace the cost of a Normal prior by its mean.
    """

    problem: ScoreMatching
    error: NoiseError
    frozen_error: NoiseError
    control: bool

    def __call__(
        self, z: Tensor, noise: Noise, weight: float | Weigh, separate: bool
    ) -> CrossEntropy:
        """See `sgmkit.Prior.cross_entropy`."""
        problem = self.problem
        check_latents(problem)
        scalar = problem.sde.driven == 1 and not problem.parameterisation.whole  # W is a number
        if scalar and not callable(weight) and not separate:
            return self._in_one_pass(z, noise, weight)
        own = problem.perturb(z.detach(), noise, problem.weighting)
        loss = problem.objective(
            own.density, problem.weight(own, problem.weighting), self.error(own)
        )
        if separate:
            batch = problem.perturb(z, noise.stream("encoder"), "likelihood")
        else:
            batch = replace(own, u=own.kernel.perturb(z, own.eps))
        error = self.frozen_error(batch)
        nats = problem.weight(batch, "likelihood")
        excess = _per_coordinate(nats, batch, error) + self._closed_form(batch, z)
        value = excess.detach()
        cost = (excess * (weight(value) if callable(weight) else weight)).sum()
        return CrossEntropy(value, gradient_of(cost, loss.total), dict(loss.parts))

    def _in_one_pass(self, z: Tensor, noise: Noise, weight: float) -> CrossEntropy:
        """Both losses from one pass of the network: W is a number, and the times are shared."""
        problem = self.problem
        batch = problem.perturb(z, noise, problem.weighting)
        own = problem.weight(batch, problem.weighting)
        nats = problem.weight(batch, "likelihood")
        # The prior's loss is the mean over rows and coordinates of W e^2 / (2 density total), the
        # encoder's the weighted sum of W_likelihood e^2 / (2 density).
        count = z.numel() * problem.times(problem.weighting).total
        ratio = weight * (nats / own)[:, 0, 0] * count
        error = self.error(replace(batch, u=ScaleGradient.apply(batch.u, ratio)))
        loss = problem.objective(batch.density, own, error)
        closed_form = self._closed_form(batch, z)
        cost = weight * closed_form.sum()
        excess = _per_coordinate(nats, batch, error.detach()) + closed_form.detach()
        return CrossEntropy(excess, gradient_of(cost, loss.total), dict(loss.parts))

    def _closed_form(self, batch: PerturbedBatch, z: Tensor) -> Tensor:
        """The terms in closed form, in the shape of z: ``KL(q(u_T | z) || prior)``.

        With ``control``, less the control variate: the Normal prior's cost minus its mean.
        """
        sde = self.problem.sde
        end = prior_divergence(sde, z)
        if not self.control:
            return end
        weight = weight_matrix(sde, batch.t, batch.kernel, "likelihood")
        weight = weight / batch.density.reshape(-1, 1, 1)
        return end - control_variate(
            sde, batch.kernel, weight, z, batch.u, batch.eps, self.problem.t_min
        )


def _per_coordinate(weight: Tensor, batch: PerturbedBatch, error: Tensor) -> Tensor:
    """``1/2 e^T W e / density`` of each coordinate, ``(B, *event)``."""
    return weighted_square(weight / batch.density.reshape(-1, 1, 1), error)
