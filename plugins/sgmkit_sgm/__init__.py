"""Data-space score-based models, as a plugin."""

from collections.abc import Iterable

from sgmkit.hookspecs import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """What this plugin offers."""
    return ()
