"""Evaluators that need no download: distances, likelihoods, the solver's error, costs.

`cost` has the shortest evaluators. `distance` is the base of those in `wasserstein` and
`kernel_distances`; `trajectory` measures the error of a solver alone; `likelihood` and `bounds`
look at the model instead of samples. Imports `sgmkit` and torch.
"""

from collections.abc import Iterable

from sgmkit import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """Distances, costs, likelihoods and the solver's own error."""
    yield Component(
        "evaluator",
        "sliced-wasserstein",
        "sgmkit_evaluators.wasserstein:SlicedWasserstein",
        "sliced Wasserstein-2 distance between samples and data",
        aliases=("swd", "sw2"),
    )
    yield Component(
        "evaluator",
        "mmd",
        "sgmkit_evaluators.kernel_distances:Mmd",
        "unbiased squared maximum mean discrepancy, Gaussian kernels around the median distance",
    )
    yield Component(
        "evaluator",
        "energy-distance",
        "sgmkit_evaluators.kernel_distances:EnergyDistance",
        "unbiased energy distance between samples and data",
        aliases=("energy",),
    )
    yield Component(
        "evaluator",
        "nfe",
        "sgmkit_evaluators.cost:Nfe",
        "network evaluations per sample, counted",
    )
    yield Component(
        "evaluator",
        "decoder-calls",
        "sgmkit_evaluators.cost:DecoderCalls",
        "decoder evaluations per sample, counted apart from the network's",
    )
    yield Component(
        "evaluator",
        "seconds",
        "sgmkit_evaluators.cost:Seconds",
        "wall-clock seconds per sample",
    )
    yield Component(
        "evaluator",
        "nll",
        "sgmkit_evaluators.likelihood:Nll",
        "negative log-likelihood of test data by the probability flow",
    )
    yield Component(
        "evaluator",
        "bounds",
        "sgmkit_evaluators.bounds:Bounds",
        "bounds of a latent model's likelihood: importance-weighted, diffusion, chain",
    )
    yield Component(
        "evaluator",
        "trajectory",
        "sgmkit_evaluators.trajectory:Trajectory",
        "distance of each sample to a tight-tolerance solution from the same start",
    )
