"""A latent-variable model: an autoencoder, the prior of its coarsest latents, a law of the data."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sgmkit import Autoencoder, Prior
from sgmkit_lsgm.law import Observation


@dataclass(frozen=True)
class LatentVariableModel:
    """What training losses and bounds need: ``p(x | latents)``, ``p(latents)`` and ``q(z | x)``.

    Args:
        autoencoder: the encoder states ``q(z | x)``; the decoder gives the parameters of the law
            of x.
        prior: of the coarsest latents. Finer latents have the prior N(0, I).
        observation: the law of x given the decoder's output.
    """

    autoencoder: Autoencoder
    prior: Prior
    observation: Observation

    def reconstruction(self, x: Tensor, latents: Sequence[Tensor]) -> Tensor:
        """``-log p(x | latents)``, nats, ``(B,)``.

        Args:
            x: data, ``(B, *event)``.
            latents: of each scale, ``(B, C, *sizes)``, the coarsest first.
        """
        return -self.observation.log_prob(self.autoencoder.decode(latents), x)
