"""How much the divergence counts: less at first, and less for groups that have little to say."""

from collections.abc import Sequence

from torch import Tensor

from sgmkit import BadValue

OFFSET = 0.01
"""Nats added to each group's divergence, so that none is balanced to nothing."""


def coefficient(progress: float, low: float, high: float, start: float, portion: float) -> float:
    """Linear in ``progress`` from ``low`` at ``start`` to ``high`` after ``portion``, then flat.

    LSGM, Vahdat et al. 2021, app. G; all of them shares of the training.
    """
    if portion <= 0:
        return high if progress >= start else low
    risen = (progress - start) / portion
    return low + (high - low) * min(1.0, max(0.0, risen))


def schedule(
    low: float, high: float, start: float, portion: float
) -> tuple[float, float, float, float]:
    """What `coefficient` takes, unless the training ends before the rise does."""
    if start + portion > 1:
        told = f"kl_start + kl_portion = {start:g} + {portion:g} = {start + portion:g}"
        raise BadValue(f"{told} is more than 1, all of the steps: kl_high is never reached")
    return low, high, start, portion


def balance(nats: Tensor, sizes: Sequence[int]) -> Tensor:
    """Weights of the groups' divergences, ``(G,)``, of mean one (NVAE, Vahdat and Kautz 2020).

    Proportional to ``(E |KL_g| + 0.01) / alpha_g``, where alpha grows by four from a scale to the
    next finer one and falls with the number of its groups.

    Args:
        nats: divergence of each row and group, ``(B, G)``, the coarsest scale first; estimates of
            either sign, as published, by their size. Its graph is left.
        sizes: groups of each scale, the coarsest first.
    """
    alphas = [4.0**scale / count for scale, count in enumerate(sizes) for _ in range(count)]
    alpha = nats.new_tensor([alpha / min(alphas) for alpha in alphas])
    share = (nats.detach().abs().mean(0) + OFFSET) / alpha
    return share / share.mean()
