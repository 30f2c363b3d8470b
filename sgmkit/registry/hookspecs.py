"""The one hook: a plugin returns data that says what it offers. Imports nothing heavy."""

from collections.abc import Iterable
from dataclasses import dataclass

import pluggy

hookspec = pluggy.HookspecMarker("sgmkit")
hookimpl = pluggy.HookimplMarker("sgmkit")
"""Marks the function of a plugin that implements the hook: ``@hookimpl``."""

KINDS: dict[str, str] = {
    "sde": "sgmkit.processes.sde:LinearSDE",
    "network": "sgmkit.models.network:Network",
    "model": "sgmkit.models.model:Model",
    "autoencoder": "sgmkit.models.autoencoder:Autoencoder",
    "solver": "sgmkit.solvers.solver:Solver",
    "grid": "sgmkit.solvers.grid:Grid",
    "dataset": "sgmkit.data.dataset:Dataset",
    "evaluator": "sgmkit.evaluation.evaluator:Evaluator",
    "extractor": "sgmkit.evaluation.extractor:Extractor",
}
"""Each kind of component and the base class that its targets subclass."""


@dataclass(frozen=True)
class Component:
    """What a plugin offers under one name.

    Args:
        kind: one of `KINDS`.
        name: kebab-case, unique within its kind.
        target: ``"package.module:Class"``, imported at first use.
        summary: one line, shown by ``sgmkit list``.
        aliases: other names; resolved before anything is hashed.
        extra: the pip extra that supplies heavy dependencies, named when the import fails.
    """

    kind: str
    name: str
    target: str
    summary: str
    aliases: tuple[str, ...] = ()
    extra: str = ""


@hookspec
def sgmkit_components() -> Iterable[Component]:
    """Return the components of this plugin. Must not import torch."""
    return ()  # a specification: pluggy never calls it
