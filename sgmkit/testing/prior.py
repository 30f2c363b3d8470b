"""Checks of a prior of latents: its cross entropy, and the gradients of its loss."""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sgmkit.errors import Incompatible
from sgmkit.models import CrossEntropy, Prior, Weigh
from sgmkit.noise import SeededNoise
from sgmkit.processes import mutual_information
from sgmkit.testing.result import Check, NotApplicable, require

COUNT = 5
MANY = 512
"""Number of latents over which the cross entropy is averaged."""
MOVE = 0.05
"""Standard deviation of random numbers added to each parameter: a fresh network may return 0."""
STEP = 1e-3
"""Step of a central difference."""
SLOPE = 1e-3
"""Largest relative difference of two slopes."""


def applicable(prior: Prior) -> Iterator[Check]:
    """The checks of every prior."""
    yield from (check_cross_entropy, check_cost_rows, check_cost_bound)
    yield from (check_cost_slope, check_cost_weight)


def check_cross_entropy(prior: Prior) -> str:
    """``excess`` is ``(B, *event)`` without a graph; the loss and its parts are finite scalars."""
    for separate in (False, True):
        cost, z = _cost(prior, _latents(prior), 1.0, separate)
        message = f"excess is {tuple(cost.excess.shape)}, not {tuple(z.shape)}"
        require(cost.excess.shape == z.shape, message)
        require(not cost.excess.requires_grad, "excess has a graph: give its values only")
        require(bool(cost.excess.isfinite().all()), "excess is not finite")
        for name, value in (("the loss", cost.loss), *cost.parts.items()):
            require(value.ndim == 0, f"{name} has shape {tuple(value.shape)}, not ()")
            require(math.isfinite(float(value.detach())), f"{name} is not finite")
    return f"{float(cost.excess.mean()):.3g} nats a coordinate"


def check_cost_rows(prior: Prior) -> str:
    """The excess of a latent depends on its sample id, and not on the rest of the batch."""
    moved, part = _moved(prior), [3, 1]
    whole = _cost(moved, _latents(moved), 1.0)[0].excess
    some = _cost(moved, _latents(moved, part), 1.0, ids=part)[0].excess
    apart = float((some - whole[part]).abs().max() / whole.abs().max().clamp_min(1e-9))
    require(apart <= 1e-3, f"the costs of latents in a smaller batch differ by {apart:.1e}")
    return f"to {apart:.0e}"


def check_cost_bound(prior: Prior) -> str:
    """The mean excess of latents of N(0, 1) is at least the mutual information of z and u.

    A cross entropy is no less than the entropy, so the mean of ``excess`` is at least the mutual
    information ``1/2 log(1 + snr)`` of z and the state u at t_min. A prior with a smaller one
    would report likelihoods that are too high for any model.
    """
    ids = range(MANY)
    excess = _cost(prior, _latents(prior, ids), 1.0, ids=ids)[0].excess.double().flatten(1)
    rows = excess.mean(1)
    mean, error = float(rows.mean()), float(rows.std()) / math.sqrt(MANY)
    kernel = prior.sde.kernel(torch.tensor(prior.t_min, dtype=torch.float64))
    least = float(mutual_information(kernel, torch.ones((), dtype=torch.float64)))
    message = f"N(0, 1) costs {mean:.4g} ± {error:.2g} nats a coordinate, less than the {least:.4g}"
    require(mean >= least - 4 * error - 1e-4, f"{message} that its state tells of it")
    return f"{mean:.3g} ± {error:.1g} nats a coordinate, at least {least:.3g}"


def check_cost_slope(prior: Prior) -> str:
    """The gradient of the loss in z is that of ``weight * excess``, by central differences."""
    moved, worst = _moved(prior).double(), 0.0
    way = SeededNoise(3, range(COUNT))(_latents(moved))
    for separate in (False, True):
        for weight in (0.7, _uneven):
            cost, z = _cost(moved, _latents(moved), weight, separate)
            (slope,) = torch.autograd.grad(cost.loss, z, materialize_grads=True)
            got = float((slope * way).sum())
            gain = weight(cost.excess) if callable(weight) else weight
            ends = [_cost(moved, z + side * STEP * way, 1.0, separate)[0] for side in (-1, 1)]
            want = float((gain * (ends[1].excess - ends[0].excess)).sum()) / (2 * STEP)
            apart = abs(got - want) / max(abs(want), 1e-3)
            kind = "times apart" if separate else "shared times"
            message = f"with {kind} the loss has slope {got:.6g} in z, weight * excess {want:.6g}"
            require(apart <= SLOPE, message)
            worst = max(worst, apart)
    return f"to {worst:.0e}"


def check_cost_weight(prior: Prior) -> str:
    """The weight is for the encoder: gradients of the prior's parameters do not depend on it."""
    moved = _moved(prior)
    own = [p for p in moved.parameters() if p.requires_grad]
    if not own:
        raise NotApplicable("it has no parameters")
    for separate in (False, True):
        slopes = []
        for weight in (0.5, 2.0, _uneven):
            loss = _cost(moved, _latents(moved), weight, separate)[0].loss
            gradients = torch.autograd.grad(loss, own, materialize_grads=True)
            slopes.append(torch.cat([slope.flatten() for slope in gradients]))
        require(bool(slopes[0].abs().max() > 0), "no gradient reaches the prior's parameters")
        for other in slopes[1:]:
            apart = float((other - slopes[0]).norm() / slopes[0].norm())
            message = f"another weight moves the gradient of the parameters by {apart:.1e} of it"
            require(apart <= SLOPE, message)
    return f"{len(own)} parameters"


def _uneven(excess: Tensor) -> Tensor:
    """A weight that differs for each row and coordinate."""
    count = torch.arange(1, excess.numel() + 1, device=excess.device).reshape(excess.shape)
    return (count / excess.numel()).to(excess)


def _latents(prior: Prior, ids: "list[int] | range" = range(COUNT)) -> Tensor:
    """Latents of N(0, 1), drawn by sample id."""
    noise = SeededNoise(0, ids).stream("latents")
    return noise(prior.state_like().new_empty(len(ids), *prior.event))


def _cost(
    prior: Prior,
    z: Tensor,
    weight: float | Weigh,
    separate: bool = False,
    ids: "list[int] | range" = range(COUNT),
) -> tuple[CrossEntropy, Tensor]:
    """The cross entropy of latents, and the latents as the leaf of its graph."""
    z = z.detach().requires_grad_()
    try:
        return prior.cross_entropy(z, SeededNoise(1, ids), weight, separate=separate), z
    except Incompatible as reason:
        raise NotApplicable(str(reason)) from None


def _moved(prior: Prior) -> Prior:
    moved = copy.deepcopy(prior)
    for parameter in moved.parameters():
        parameter.data += MOVE * SeededNoise(0, [0])(parameter.data[None])[0]
    return moved
