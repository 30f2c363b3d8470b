"""What is kept of a component that raised: one line for the row, and the traceback in full."""

import traceback

from sgmkit import registry
from sgmkit.errors import UserError
from sgmkit.registry.loader import last_place, reason


def one_line(error: BaseException) -> str:
    """The error in one line: ``RuntimeError: no luck (my_plugin/solver.py:41)``.

    The location is the last traceback frame in a plugin, or in sgmkit if no plugin was involved. A
    `UserError` says what to do, so it gets no location.
    """
    text = reason(error)
    if isinstance(error, UserError):
        return text
    plugins = _plugin_packages()
    place = last_place(error, lambda module: module.partition(".")[0] in plugins)
    place = place or last_place(error, lambda module: module.partition(".")[0] == "sgmkit")
    return f"{text} ({place})" if place else text


def in_full(error: BaseException) -> str:
    """The traceback as Python prints it."""
    return "".join(traceback.format_exception(error))


def _plugin_packages() -> set[str]:
    """Top-level packages that hold components of plugins."""
    components = (c for plugin in registry.plugins() for c in plugin.components)
    return {component.target.partition(":")[0].partition(".")[0] for component in components}
