"""Plugins found one by one, names resolved, options read from signatures, components built.

Read `hookspecs` (what a plugin returns), `loader` (how one is admitted), `signatures` and `options`
(what a constructor takes), `resolved` (a component with every option decided) and `catalogue` (all
of it together). This room imports nothing of sgmkit but errors, and never torch.
"""

from sgmkit.registry.catalogue import (
    Registry,
    components,
    create,
    find,
    load,
    offers,
    plugins,
    reset,
    resolve,
    schema,
    time_grid,
)
from sgmkit.registry.hookspecs import KINDS, Component, hookimpl
from sgmkit.registry.resolved import Resolved

__all__ = [
    "KINDS",
    "Component",
    "Registry",
    "Resolved",
    "components",
    "create",
    "find",
    "hookimpl",
    "load",
    "offers",
    "plugins",
    "reset",
    "resolve",
    "schema",
    "time_grid",
]
