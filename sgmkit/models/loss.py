"""A training loss, and a term that adds a gradient to one without changing its value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A training loss, ``total ()``, and its named ``parts``, each ``()``, which are logged."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


def gradient_of(cost: Tensor, value: Tensor | float = 0.0) -> Tensor:
    """``value``, with the gradient of ``cost`` added to its own.

    The surrogate-gradient trick, ``value + cost - stop_gradient(cost)``: a loss trains on ``cost``
    as well, while its value, which is logged and compared, stays what it was (to rounding).
    """
    return value + cost - cost.detach()
