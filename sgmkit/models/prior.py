"""What a latent model asks of the model that is its prior."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sgmkit.models.model import Model
from sgmkit.noise import Noise

Weigh = Callable[[Tensor], Tensor]
"""From nats ``(B, *event)``, without a graph, to weights that broadcast against them."""


@dataclass(frozen=True)
class CrossEntropy:
    """What a batch of latents costs under a prior.

    Args:
        excess: by coordinate, nats, ``(B, *event)``, without a graph: an unbiased estimate of the
            cross entropy of u at t_min, given z, to the prior, less the entropy of u given z.
        loss: ``()``; its gradient in the prior's parameters is that of the prior's own objective,
            and its gradient in z that of the weighted sum of ``excess``.
        parts: of the prior's own objective, each ``()``.
    """

    excess: Tensor
    loss: Tensor
    parts: dict[str, Tensor]


class Prior(Model):
    """A model that latents can be trained against, jointly with the encoder that makes them."""

    @abstractmethod
    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        """The cost of latents, and the loss that trains both this prior and their encoder.

        Args:
            z: latents ``(B, *event)``.
            noise: of one sample id for each row.
            weight: of ``excess`` in the gradient for z: a number, or what makes weights of it.
            separate: draw times for the encoder apart from those of the prior's own objective.
        """

    def check_latents(self) -> None:
        """Refuse, before any work, options under which latents have no cost.

        Raises:
            Incompatible: with what to change.
        """

    def deactivate(self, idle: Tensor) -> None:
        """Take channels where ``idle (C,)`` is true for N(0, 1), from now on."""
