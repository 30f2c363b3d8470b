"""sgmkit: train score-based generative models and compare their solvers honestly.

Everything below is imported at first use: ``import sgmkit`` is instant and never imports torch.

    registry     components  create  resolve  time_grid  Component  hookimpl
                 What is installed, by name; how a plugin offers a component.
    processes    LinearSDE  ClockedSDE  ScheduleSDE  Kernel
                 Forward processes: linear SDEs on a few phases.
    noise        Noise  SeededNoise  RecordedNoise
                 Randomness is an argument: a draw depends on seed, stream and sample id only.
    solvers      Reverse  Solver  StepSolver  Multistep  Staged  Scheme  Node  Grid
                 The reverse problem that a solver sees, the ways to write one, time grids.
    likelihoods  Likelihood
                 The negative log-likelihood of data, in nats, with its standard error.
    models       Model  Network  Prior  Autoencoder  Latents  Samples  Loss  CrossEntropy
                 What a model, its network, a prior of latents and an autoencoder must do.
    data         Dataset  Batch  Mixture
                 Data sets, and data whose law is known: a mixture of Gaussians.
    evaluation   Evaluator  Context  Cell  Metric  Value  Extractor
                 Metrics of samples or models, and the features that some of them need.
    errors       UserError  UnknownName  BadValue  Incompatible
                 Errors that a user can cause; each ends in one line.
    benching     load_results
                 The stored rows of a bench, as a pandas DataFrame.

A plugin imports names from ``sgmkit``, and more from the public rooms: ``sgmkit.registry``,
``processes``, ``noise``, ``solvers``, ``likelihoods``, ``models``, ``data``, ``evaluation``,
``errors``, and in its tests ``testing``. What a room's ``__all__`` lists is public; modules inside
a room are not, nor are the other packages of sgmkit. ``help(sgmkit.solvers)`` describes a room.
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
    """Import a public name from its room at first use, and keep it."""
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
    """Every public name, imported already or not."""
    return sorted({*globals(), *__all__})
