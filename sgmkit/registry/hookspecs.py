"""The one hook, by which a plugin returns a description of what it offers. Imports no torch."""

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
"""Each kind of component, and the base class of its targets as ``"module:Class"``."""


@dataclass(frozen=True)
class Component:
    """A component that a plugin offers.

    Args:
        kind: one of `KINDS`.
        name: name in kebab-case, unique within its kind and plugin.
        target: class as ``"package.module:Class"``, imported at first use.
        summary: one line for ``sgmkit list``.
        aliases: other names; results and runs are stored under ``name``.
        extra: optional dependency of the plugin's distribution, ``pip install 'dist[extra]'``,
            that the target needs. If the import fails for want of a package, only this component
            is disabled, and the message names that command.
    """

    kind: str
    name: str
    target: str
    summary: str
    aliases: tuple[str, ...] = ()
    extra: str = ""


@hookspec
def sgmkit_components() -> Iterable[Component]:
    """Return the components that the plugin offers. The plugin's module must not import torch."""
    return ()  # the specification itself is never called
