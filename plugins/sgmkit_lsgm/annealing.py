"""How much the divergence counts in the loss: by the progress of the training, and by group."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgmkit import BadValue

OFFSET = 0.01
"""Nats added to the divergence of each group, so that the weight of none becomes zero."""


def coefficient(progress: float, low: float, high: float, start: float, portion: float) -> float:
    """Weight of the divergence: ``low + (high - low) clip((progress - start) / portion, 0, 1)``.

    LSGM, Vahdat et al. 2021, app. G. ``progress``, ``start`` and ``portion`` are shares of the
    training. With ``portion = 0`` the weight jumps from ``low`` to ``high`` at ``start``.
    """
    if portion <= 0:
        return high if progress >= start else low
    risen = (progress - start) / portion
    return low + (high - low) * min(1.0, max(0.0, risen))


def schedule(
    low: float, high: float, start: float, portion: float
) -> tuple[float, float, float, float]:
    """The arguments of `coefficient`, checked: the rise must end before the training does."""
    if start + portion > 1:
        total = f"kl_start + kl_portion = {start:g} + {portion:g} = {start + portion:g}"
        raise BadValue(f"{total} is more than 1, all of the steps: kl_high is never reached")
    return low, high, start, portion


def balance(nats: Tensor, sizes: Sequence[int]) -> Tensor:
    """Weights of the groups' divergences, ``(G,)``, of mean one (NVAE, Vahdat and Kautz 2020).

    ``gamma_g`` is proportional to ``(E |KL_g| + 0.01) / alpha_g``: a group whose divergence is
    small gets a small weight. alpha grows by a factor of four from a scale to the next finer one
    and falls with the number of groups of the scale.

    Args:
        nats: divergence of each row and group, ``(B, G)``, the coarsest scale first. Estimates may
            have either sign; as in the published code their absolute values count. The weights
            have no gradient.
        sizes: number of groups of each scale, the coarsest first.
    """
    alphas = [4.0**scale / count for scale, count in enumerate(sizes)]
    alpha = torch.cat(
        [  # filled on the device: a copy from the CPU would wait for it
            nats.new_full((count,), alpha / min(alphas))
            for alpha, count in zip(alphas, sizes, strict=True)
        ]
    )
    share = (nats.detach().abs().mean(0) + OFFSET) / alpha
    return share / share.mean()
