"""Data that *is* a Gaussian mixture: what is drawn follows the stated law exactly."""

from abc import abstractmethod

import torch
from torch import Tensor

from sgmkit.data import Batch, Dataset, Mixture, Split
from sgmkit.errors import BadValue
from sgmkit.noise import Noise


class MixtureDataset(Dataset):
    """Fresh draws from a 2-D Gaussian mixture with diagonal covariances.

    The mixture is the definition, not an approximation of another law: an exact score model built
    on `mixture` and a sample of `draw` differ by chance alone. Draws never repeat, so the splits
    have no size; ``train`` and ``test`` read different streams of the noise, so one noise object
    gives the two splits independent points.
    """

    event = (2,)

    @abstractmethod
    def mixture(self) -> Mixture:
        """The law: ``weights (J,)``, ``means (J, 2)``, ``variances (J, 2)``, float64."""

    def size(self, split: Split) -> None:
        """None: every draw is fresh."""
        return None

    def draw(self, split: Split, n: int, noise: Noise) -> Batch:
        """Draw ``x (n, 2)``, float32; the ids are those of the noise.

        The component comes from the inverse of the weights' cumulative sum at a uniform number,
        the point from one normal number per coordinate, both in float64.
        """
        if n < 1:
            raise BadValue(f"cannot draw {n} points; ask for at least 1")
        law, source = self.mixture(), noise.stream(split)
        like = torch.empty(n, *self.event, dtype=torch.float64)
        uniform = source.uniform(like[:, 0])
        # The cumulative sum may end a rounding error below 1: the last component takes the rest.
        edges = law.weights.cumsum(0)[:-1]
        chosen = torch.searchsorted(edges, uniform, right=True)
        x = law.means[chosen] + law.variances.sqrt()[chosen] * source(like)
        return Batch(x.float(), None, source.ids)


def equal_mixture(means: Tensor, std: float) -> Mixture:
    """Components of equal weight and one standard deviation, at ``means (J, 2)``."""
    weights = torch.full((len(means),), 1.0 / len(means), dtype=torch.float64)
    return Mixture(weights, means, torch.full_like(means, std**2))
