"""A training loss, and a term that adds a gradient to one without changing its value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A training loss, ``total ()``, and its named ``parts``, each ``()``, which are logged."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


def gradient_of(cost: Tensor) -> Tensor:
    """Zero in value, with the gradient of ``cost``: ``cost - stop_gradient(cost)``.

    The surrogate-gradient trick: added to a loss it trains on ``cost`` as well, while the value of
    the loss, which is logged and compared, stays what it was.
    """
    return cost - cost.detach()
