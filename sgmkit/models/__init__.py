"""What a network, model, prior and autoencoder are, and how samples are drawn in batches.

Read `network`, `loss`, `model`, `prior`, `autoencoder`, `sampling`. This room imports processes,
noise, solvers, likelihoods and data.
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
