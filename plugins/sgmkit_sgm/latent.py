r"""What latents cost under a score-based prior, and the loss that trains prior and encoder at once.

The encoder always sees the likelihood weighting; the prior its own (LSGM, Vahdat et al. 2021,
sec. 3.3 and app. C). The paper's three algorithms are: one pass with one weighting (1); the times
of the prior's own weighting used again for the encoder (3); times apart (2). Where the weights are
numbers, the first and the last need one pass of the network each way: rows do not see each other,
so that the gradient for a row of z is that of the prior's loss, times the ratio of its weights.

With ``control``, what a Normal prior would cost by the same draws is replaced by its mean: that is
most of their noise, and no network has a say in it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from sgmkit import CrossEntropy, Noise
from sgmkit.errors import Incompatible
from sgmkit.models import Weigh, gradient_of
from sgmkit.processes import (
    control_variate,
    prior_divergence,
    weight_matrix,
    weighted_square,
)

if TYPE_CHECKING:
    from sgmkit_sgm.perturbed import Perturbed
    from sgmkit_sgm.sgm import Sgm


class Rescale(torch.autograd.Function):
    """The identity, whose gradient is multiplied row by row."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, ratio: Tensor) -> Tensor:
        ctx.save_for_backward(ratio)
        return u.view_as(u)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (ratio,) = ctx.saved_tensors
        slope = slopes[0]
        return slope * ratio.to(slope).reshape(-1, *(1 for _ in slope.shape[1:])), None


def check_latents(sgm: "Sgm") -> None:
    """See `sgmkit.models.prior.Prior.check_latents`."""
    if sgm.matching == "dsm" and any(any(row) for row in sgm.sde.start_cov):
        raise Incompatible(
            "the cross entropy is of the law given the data: take matching=hsm, not dsm"
        )


def cross_entropy(
    sgm: "Sgm", z: Tensor, noise: Noise, weight: float | Weigh, separate: bool
) -> CrossEntropy:
    """See `sgmkit.models.prior.Prior.cross_entropy`."""
    check_latents(sgm)
    if not callable(weight) and not separate and sgm.sde.driven == 1 and not sgm.form.whole:
        return _one_pass(sgm, z, noise, weight)
    at = sgm.perturbed(z.detach(), noise, sgm.weighting)
    own = sgm.objective(at.density, sgm.weight(at, sgm.weighting), sgm(at))
    if separate:
        there = sgm.perturbed(z, noise.stream("encoder"), "likelihood")
    else:
        there = replace(at, u=at.kernel.perturb(z, at.eps))
    fixed = {name: value.detach() for name, value in sgm.named_parameters()}
    error = functional_call(sgm, fixed, (there,))
    excess = _path(sgm.weight(there, "likelihood"), there, error) + _known(sgm, there, z)
    told = excess.detach()
    cost = (excess * (weight(told) if callable(weight) else weight)).sum()
    return CrossEntropy(told, own.total + gradient_of(cost), dict(own.parts))


def _one_pass(sgm: "Sgm", z: Tensor, noise: Noise, weight: float) -> CrossEntropy:
    at = sgm.perturbed(z, noise, sgm.weighting)
    own, likely = sgm.weight(at, sgm.weighting), sgm.weight(at, "likelihood")
    # The prior's loss is mine e^2 / 2 over the density, in the mean over rows and coordinates.
    ratio = weight * (likely / own)[:, 0, 0] * (z.numel() * sgm.times(sgm.weighting).total)
    error = sgm(replace(at, u=Rescale.apply(at.u, ratio)))
    loss, known = sgm.objective(at.density, own, error), _known(sgm, at, z)
    cost = weight * known.sum()
    excess = _path(likely, at, error.detach()) + known.detach()
    return CrossEntropy(excess, loss.total + gradient_of(cost), dict(loss.parts))


def _known(sgm: "Sgm", at: "Perturbed", z: Tensor) -> Tensor:
    """What no network has a say in: the end's divergence, and what takes chance out; like z."""
    end = prior_divergence(sgm.sde, z)
    if not sgm.control:
        return end
    weight = weight_matrix(sgm.sde, at.t, at.kernel, "likelihood") / at.density.reshape(-1, 1, 1)
    return end - control_variate(sgm.sde, at.kernel, weight, z, at.u, at.eps, sgm.t_min)


def _path(weight: Tensor, at: "Perturbed", error: Tensor) -> Tensor:
    """``1/2 e^T W e / r(t)`` by coordinate, ``(B, *event)``."""
    return weighted_square(weight / at.density.reshape(-1, 1, 1), error)
