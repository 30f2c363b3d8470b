"""The base classes of networks, models, priors and autoencoders, and sampling in batches.

Read `network`, `loss`, `model`, then `prior` and `autoencoder` (for latent models), and `sampling`.
This room imports torch and the rooms processes, noise, solvers, likelihoods and data.
"""

from sgmkit.models.autoencoder import Autoencoder, Latents, bounded
from sgmkit.models.loss import Loss, gradient_of
from sgmkit.models.model import Bound, Images, Model, Samples, Start
from sgmkit.models.network import Network
from sgmkit.models.prior import CrossEntropy, Prior, Weigh
from sgmkit.models.sampling import SamplingRules, frames, gather, path_of, sample_batches

__all__ = [
    "Autoencoder",
    "Bound",
    "CrossEntropy",
    "Images",
    "Latents",
    "Loss",
    "Model",
    "Network",
    "Prior",
    "Samples",
    "SamplingRules",
    "Start",
    "Weigh",
    "bounded",
    "frames",
    "gather",
    "gradient_of",
    "path_of",
    "sample_batches",
]
