"""The Typer application: all verbs, and how every command ends. Imports nothing heavy."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from sgmkit.cli.bench import bench_command
from sgmkit.cli.check import check_command
from sgmkit.cli.info import info_command
from sgmkit.cli.list import list_command
from sgmkit.cli.new_plugin import new_plugin_command
from sgmkit.cli.plugins import plugins_command
from sgmkit.cli.report import report_command
from sgmkit.cli.sample import sample_command
from sgmkit.cli.train import train_command
from sgmkit.cli.values import NotAccepted
from sgmkit.errors import UserError

# Typer brings its own copy of click and exports one of its errors: this is the base of them all.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__base__)


class _HelpWithoutType:
    """Typer prints ``<bool>`` beside every flag; an empty metavar says that it takes no value."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
        return option


class _Command(_HelpWithoutType, TyperCommand):
    pass


class _Group(_HelpWithoutType, TyperGroup):
    pass


app = typer.Typer(
    name="sgmkit",
    cls=_Group,
    help="Train score-based generative models and compare their solvers. Every process, solver, "
    "network, model, data set and evaluator is a plugin.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2, and one line, for what a user can cause."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        with typer.main.get_command(app).make_context("sgmkit", words or ["--help"]) as ctx:
            ctx.command.invoke(ctx)
            sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except NotAccepted as error:
        return _complain(error.format_message())
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "sgmkit"
        return _complain(f"{error.format_message().rstrip('.')} ({command} --help)")
    except UserError as error:
        return _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted")
    except BrokenPipeError:  # `sgmkit list | head` closes the pipe: nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


def _complain(message: str) -> int:
    print(f"sgmkit: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _print_version(requested: bool) -> None:
    if requested:
        import sgmkit

        print(sgmkit.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


for _name, _function in {
    "list": list_command,
    "info": info_command,
    "plugins": plugins_command,
    "train": train_command,
    "sample": sample_command,
    "bench": bench_command,
    "report": report_command,
    "check": check_command,
    "new-plugin": new_plugin_command,
}.items():
    app.command(_name, cls=_Command)(_function)
