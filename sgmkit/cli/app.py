"""The command line. Heavy imports stand inside the commands: ``--help`` must stay instant."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from sgmkit.cli.bench import bench
from sgmkit.cli.check import check
from sgmkit.cli.info import info
from sgmkit.cli.new_plugin import new_plugin
from sgmkit.cli.printing import console, table
from sgmkit.cli.report import report
from sgmkit.cli.sample import sample
from sgmkit.cli.train import train
from sgmkit.errors import UserError

app = typer.Typer(
    name="sgmkit",
    help="Train and compare score-based generative models; everything is a plugin.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Typer brings its own copy of click and exports one of its errors: this is the base of them all.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__base__)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for what a user can cause, in one line."""
    given = list(sys.argv[1:] if args is None else args)
    try:
        with typer.main.get_command(app).make_context("sgmkit", given or ["--help"]) as ctx:
            ctx.command.invoke(ctx)
            sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        where = error.ctx.command_path if error.ctx else "sgmkit"
        return _complain(f"{error.format_message().rstrip('.')} ({where} --help)")
    except UserError as error:
        return _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted")
    except BrokenPipeError:  # `sgmkit list | head`: what is left to say has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


def _complain(message: str) -> int:
    print(f"sgmkit: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _print_version(wanted: bool) -> None:
    if wanted:
        import sgmkit

        print(sgmkit.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command("list")
def list_components(
    kind: Annotated[str, typer.Argument(help="sde, model, solver, ...; all by default.")] = "",
) -> None:
    """List what is installed."""
    from sgmkit import registry
    from sgmkit.registry.hookspecs import KINDS

    rows = table("kind", "name", "aliases", "summary", "plugin")
    for each in [kind] if kind else KINDS:
        for name, offer in registry.offers(each).items():
            aliases = ", ".join(offer.component.aliases)
            rows.add_row(each, name, aliases, offer.component.summary, offer.plugin.name)
    console().print(rows)


app.command()(info)


@app.command()
def plugins(
    traceback: Annotated[
        str, typer.Option(metavar="NAME", help="Print why a plugin failed, in full.")
    ] = "",
) -> None:
    """Show every installed plugin, and why a broken one is broken."""
    from sgmkit import registry
    from sgmkit.errors import UnknownName
    from sgmkit.registry.options import near

    found = registry.plugins()
    if traceback:
        names = [plugin.name for plugin in found]
        if traceback not in names:
            raise UnknownName(f"no plugin named {traceback!r}{near(traceback, names)}")
        for plugin in found:
            if plugin.name == traceback:
                print(plugin.traceback or f"plugin {traceback!r} loaded without an error")
        return
    rows = table("plugin", "distribution", "version", "state", "offers, or why not")
    for plugin in found:
        state = f"failed at {plugin.stage}" if plugin.stage else "ok"
        offers = ", ".join(f"{x.kind} {x.name}" for x in plugin.components)
        rows.add_row(
            plugin.name, plugin.distribution, plugin.version, state, plugin.reason or offers
        )
    console().print(rows)


for _verb in (train, sample, bench, report, check, new_plugin):
    app.command()(_verb)
