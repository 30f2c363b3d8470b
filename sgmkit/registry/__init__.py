"""Finds installed plugins, resolves names and options, and builds components. Imports no torch.

Read `hookspecs` (what a plugin returns), `loader` (how a plugin is loaded, and how one may fail),
`signatures` and `options` (the options that a constructor takes), `resolved` (a component with
every option decided, which is what results and runs store) and `catalogue` (`Registry`, all of it
together). `defaults` names the components that are used where nobody chooses. This room imports
nothing of sgmkit but errors, and processes for type checking alone.
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
