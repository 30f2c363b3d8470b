"""Feature extractors and the metrics on them, as plugins."""

from collections.abc import Iterable

from sgmkit.hookspecs import Component, hookimpl


@hookimpl
def sgmkit_components() -> Iterable[Component]:
    """What this plugin offers."""
    return ()
