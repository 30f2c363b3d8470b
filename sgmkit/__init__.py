"""sgmkit: score-based generative models, their solvers and data as plugins, compared honestly.

Names are imported at first use, so that ``import sgmkit`` costs nothing and never imports torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgmkit.benching.results import load_results
    from sgmkit.data import Batch, Dataset, Mixture
    from sgmkit.errors import BadValue, Incompatible, UnknownName, UserError
    from sgmkit.evaluation import Cell, Context, Evaluator, Extractor, Metric, Value
    from sgmkit.likelihoods import Likelihood
    from sgmkit.models import (
        Autoencoder,
        CrossEntropy,
        Latents,
        Loss,
        Model,
        Network,
        Prior,
        Samples,
    )
    from sgmkit.noise import Noise, RecordedNoise, SeededNoise
    from sgmkit.processes import ClockedSDE, Kernel, LinearSDE, ScheduleSDE
    from sgmkit.registry import Component, components, create, hookimpl, resolve, time_grid
    from sgmkit.solvers import Grid, Multistep, Node, Reverse, Scheme, Solver, Staged, StepSolver

    __version__: str

__all__ = [
    "Autoencoder",
    "BadValue",
    "Batch",
    "Cell",
    "ClockedSDE",
    "Component",
    "Context",
    "CrossEntropy",
    "Dataset",
    "Evaluator",
    "Extractor",
    "Grid",
    "Incompatible",
    "Kernel",
    "Latents",
    "Likelihood",
    "LinearSDE",
    "Loss",
    "Metric",
    "Mixture",
    "Model",
    "Multistep",
    "Network",
    "Node",
    "Noise",
    "Prior",
    "RecordedNoise",
    "Reverse",
    "Samples",
    "ScheduleSDE",
    "Scheme",
    "SeededNoise",
    "Solver",
    "Staged",
    "StepSolver",
    "UnknownName",
    "UserError",
    "Value",
    "__version__",
    "components",
    "create",
    "hookimpl",
    "load_results",
    "resolve",
    "time_grid",
]

_MODULES = {
    "models": "Autoencoder CrossEntropy Latents Loss Model Network Prior Samples",
    "data": "Batch Dataset Mixture",
    "errors": "BadValue Incompatible UnknownName UserError",
    "evaluation": "Cell Context Evaluator Extractor Metric Value",
    "registry": "Component components create hookimpl resolve time_grid",
    "solvers": "Grid Multistep Node Reverse Scheme Solver Staged StepSolver",
    "likelihoods": "Likelihood",
    "noise": "Noise RecordedNoise SeededNoise",
    "benching.results": "load_results",
    "processes": "ClockedSDE Kernel LinearSDE ScheduleSDE",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("sgmkit")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"sgmkit.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'sgmkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
