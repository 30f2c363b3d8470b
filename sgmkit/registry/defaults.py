"""The components that the core uses where nobody chooses: the only plugin names that it knows.

Every name is qualified, ``plugin/name``, so that another plugin that offers the same bare name
cannot make a default ambiguous.
"""

MODEL = "sgm/sgm"
"""The model that ``train`` fits, and the innermost model of a latent one."""
SDE = "sdes/vp"
"""The forward process of a model whose constructor requires one."""
DATASET = "datasets/digits"
"""The data that ``train`` learns: it comes with scikit-learn, so nothing is downloaded."""
NETWORK_OF_IMAGES = "networks/unet"
NETWORK_OF_VECTORS = "networks/mlp"
"""The network of a model whose constructor requires one, by the shape of an item of data."""

GRID = "solvers/logsnr"
"""The time grid of ``sample``, of ``bench`` and of pictures drawn during training."""
SOLVER = "solvers/heun"
"""The solver of ``sample``."""
PREVIEW_SOLVER = "solvers/ddim"
"""The solver of pictures drawn during training: it is stable at few steps, on CLD as well."""

EXACT_MODEL = "exact/exact"
"""The model that ``bench`` compares solvers on where there is no run: its score is exact."""
EXACT_SDES = "sdes/vp,sdes/cld"
EXACT_DATASET = "datasets/eight-gaussians"
"""The processes and the data of that model, whose law is known."""
CONVERGENCE_DATASET = "datasets/eight-gaussians:std=0.3"
"""The data on which ``bench --convergence`` measures orders: smooth enough for high orders."""

EXACT_EVALUATORS = (
    "evaluators/sliced-wasserstein,evaluators/energy-distance,evaluators/trajectory,evaluators/nll"
)
"""What ``bench`` measures of an exact model."""
VECTOR_EVALUATORS = "evaluators/sliced-wasserstein,evaluators/energy-distance,evaluators/nll"
"""What ``bench`` measures of trained models of vectors."""
IMAGE_EVALUATOR = "features/fid"
LIKELIHOOD = "evaluators/nll"
"""What ``bench`` measures of trained models of images."""
GREY_EXTRACTOR = "features/classifier"
COLOUR_EXTRACTOR = "features/inception"
"""Whose features FID takes: a classifier of the run's own grey images, or the field's Inception."""
