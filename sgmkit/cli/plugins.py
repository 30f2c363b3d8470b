"""`sgmkit plugins`: every installed plugin, and why a broken one is broken."""

from typing import Annotated

import typer

from sgmkit.cli.printing import console, table
from sgmkit.errors import UnknownName


def plugins_command(
    traceback: Annotated[
        str, typer.Option(metavar="NAME", help="Print the whole traceback of this plugin instead.")
    ] = "",
) -> None:
    """Show what each installed plugin offers, or the reason why it could not be loaded."""
    from sgmkit import registry

    if traceback:
        _print_traceback(traceback)
        return
    rows = table("plugin", "distribution", "version", "state", "offers, or why not")
    for plugin in registry.plugins():
        state = f"failed at {plugin.stage}" if plugin.stage else "ok"
        offers = ", ".join(f"{x.kind} {x.name}" for x in plugin.components)
        rows.add_row(
            plugin.name, plugin.distribution, plugin.version, state, plugin.reason or offers
        )
    console().print(rows)


def _print_traceback(name: str) -> None:
    """Print the failure of each plugin of that name: two distributions may declare one name."""
    from sgmkit import registry
    from sgmkit.registry.options import near

    installed = registry.plugins()
    names = [plugin.name for plugin in installed]
    if name not in names:
        raise UnknownName(f"no plugin named {name!r}{near(name, names)}")
    for plugin in installed:
        if plugin.name == name:
            print(plugin.traceback or f"plugin {name!r} loaded without an error")
