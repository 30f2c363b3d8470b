"""What a network, model, prior and autoencoder are, and how samples are drawn in batches.

Read `network`, `model`, `prior`, `autoencoder`, `sampling`. This room imports processes, noise,
solvers, likelihoods and data.
"""

from sgmkit.models.autoencoder import Autoencoder, Latents, bounded
from sgmkit.models.model import Bound, Images, Loss, Model, Samples, Start
from sgmkit.models.network import Network
from sgmkit.models.prior import CrossEntropy, Prior, Weigh
from sgmkit.models.sampling import frames, gather, path_of, sample_batches

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
    "Start",
    "Weigh",
    "bounded",
    "frames",
    "gather",
    "path_of",
    "sample_batches",
]
