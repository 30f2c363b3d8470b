"""`sgmkit list`: every installed component, by kind."""

from typing import Annotated

import typer

from sgmkit.cli.printing import console, table


def list_command(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="List this kind only: sde, model, solver, ..."),
    ] = "",
) -> None:
    """List the installed components with their aliases and the plugin that offers each."""
    from sgmkit import registry

    rows = table("kind", "name", "aliases", "summary", "plugin")
    for each in [kind] if kind else registry.KINDS:
        for name, offer in registry.offers(each).items():
            aliases = ", ".join(offer.component.aliases)
            rows.add_row(each, name, aliases, offer.component.summary, offer.plugin.name)
    console().print(rows)
