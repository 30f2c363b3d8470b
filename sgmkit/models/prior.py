"""What a latent model needs from the model that is its prior: a cross entropy of latents."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sgmkit.models.model import Model
from sgmkit.noise import Noise

Weigh = Callable[[Tensor], Tensor]
"""A function from nats ``(B, *event)``, without a graph, to weights that broadcast over them."""


@dataclass(frozen=True)
class CrossEntropy:
    """The cross entropy of a batch of latents under a prior, and a loss to train on.

    Args:
        excess: for each coordinate, in nats, ``(B, *event)``, without a graph: an unbiased
            estimate of ``CE(q(u | z) || p(u)) - H(q(u | z))``, for the state u at t_min of latents
            z and the prior p.
        loss: ``()``. Its gradient with respect to the prior's parameters is that of the prior's
            own objective; its gradient with respect to z is that of the weighted sum of
            ``excess``.
        parts: named parts of the prior's own objective, each ``()``.
    """

    excess: Tensor
    loss: Tensor
    parts: dict[str, Tensor]


class Prior(Model):
    """A model of latents that can be trained jointly with their encoder."""

    @abstractmethod
    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        """The cross entropy of latents, and the loss that trains this prior and their encoder.

        Args:
            z: latents ``(B, *event)``.
            noise: of one sample id for each row.
            weight: weight of ``excess`` in the gradient with respect to z: a number, or a function
                that computes weights from ``excess``.
            separate: draw other times for the encoder than for the prior's own objective.
        """

    def check_latents(self) -> None:
        """Refuse options under which latents have no cross entropy, before any training.

        Raises:
            Incompatible: with the option to change.
        """

    def deactivate(self, inactive: Tensor) -> None:
        """Model the channels where ``inactive (C,)`` is true as N(0, 1) from now on."""
