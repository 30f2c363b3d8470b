"""sgmkit: score-based generative models, their solvers and data as plugins, compared honestly.

Names are imported at first use, so that ``import sgmkit`` costs nothing and never imports torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgmkit.autoencoder import Autoencoder, Latents
    from sgmkit.dataset import Batch, Dataset, Mixture
    from sgmkit.errors import BadValue, Incompatible, UnknownName, UserError
    from sgmkit.evaluator import Cell, Context, Evaluator, Metric, Value
    from sgmkit.extractor import Extractor
    from sgmkit.hookspecs import Component, hookimpl
    from sgmkit.methods import Multistep, Node, Staged
    from sgmkit.model import Likelihood, Loss, Model, Samples
    from sgmkit.network import Network
    from sgmkit.noise import Noise, SeededNoise
    from sgmkit.prior import CrossEntropy, Prior
    from sgmkit.recorded import RecordedNoise
    from sgmkit.registry import components, create, resolve, time_grid
    from sgmkit.results import load_results
    from sgmkit.reverse import Reverse
    from sgmkit.scheme import Scheme
    from sgmkit.sde import ClockedSDE, Kernel, LinearSDE, ScheduleSDE
    from sgmkit.solver import Grid, Solver, StepSolver

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
    "autoencoder": "Autoencoder Latents",
    "dataset": "Batch Dataset Mixture",
    "errors": "BadValue Incompatible UnknownName UserError",
    "evaluator": "Cell Context Evaluator Metric Value",
    "extractor": "Extractor",
    "hookspecs": "Component hookimpl",
    "methods": "Multistep Node Staged",
    "model": "Likelihood Loss Model Samples",
    "network": "Network",
    "noise": "Noise SeededNoise",
    "prior": "CrossEntropy Prior",
    "recorded": "RecordedNoise",
    "registry": "components create resolve time_grid",
    "results": "load_results",
    "reverse": "Reverse",
    "scheme": "Scheme",
    "sde": "ClockedSDE Kernel LinearSDE ScheduleSDE",
    "solver": "Grid Solver StepSolver",
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
