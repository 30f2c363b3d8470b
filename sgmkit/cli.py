"""The command line. Heavy imports stand inside the commands: ``--help`` must stay instant."""

import os
import sys
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sgmkit.commands import VERBS
from sgmkit.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sgmkit.options import Option

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
    from sgmkit.hookspecs import KINDS

    table = _table("kind", "name", "aliases", "summary", "plugin")
    for each in [kind] if kind else KINDS:
        for name, offer in registry.offers(each).items():
            aliases = ", ".join(offer.component.aliases)
            table.add_row(each, name, aliases, offer.component.summary, offer.plugin.name)
    _console().print(table)


@app.command()
def info(
    kind: Annotated[str, typer.Argument(help="sde, model, solver, ...")],
    name: Annotated[str, typer.Argument(help="As shown by sgmkit list.")],
) -> None:
    """Show one component and its options."""
    import inspect

    from sgmkit import registry

    offer = registry.find(kind, name)
    schema = registry.schema(kind, name)
    plugin, component = offer.plugin, offer.component
    console = _console()
    console.print(f"{kind} {offer.qualified} ({plugin.distribution} {plugin.version})")
    console.print(component.summary)
    if component.aliases:
        console.print(f"aliases: {', '.join(component.aliases)}")
    paragraph = (inspect.getdoc(schema.cls) or "").split("\n\n")[0]
    console.print(f"\n{' '.join(paragraph.split())}")
    if not schema.options:
        console.print("\nno options")
        return
    table = _table("option", "type", "default", "bounds", "meaning")
    for option in schema.options.values():
        table.add_row(option.name, *_describe(option))
    console.print(table)


@app.command()
def plugins(
    traceback: Annotated[
        str, typer.Option(metavar="NAME", help="Print why a plugin failed, in full.")
    ] = "",
) -> None:
    """Show every installed plugin, and why a broken one is broken."""
    from sgmkit import registry
    from sgmkit.errors import UnknownName
    from sgmkit.options import near

    found = registry.plugins()
    if traceback:
        names = [plugin.name for plugin in found]
        if traceback not in names:
            raise UnknownName(f"no plugin named {traceback!r}{near(traceback, names)}")
        for plugin in found:
            if plugin.name == traceback:
                print(plugin.traceback or f"plugin {traceback!r} loaded without an error")
        return
    table = _table("plugin", "distribution", "version", "state", "offers, or why not")
    for plugin in found:
        state = f"failed at {plugin.stage}" if plugin.stage else "ok"
        offers = ", ".join(f"{x.kind} {x.name}" for x in plugin.components)
        table.add_row(
            plugin.name, plugin.distribution, plugin.version, state, plugin.reason or offers
        )
    _console().print(table)


def _console() -> "Console":
    """Standard output; 120 columns where it is not a terminal, and no markup in anyone's text."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, highlight=False, emoji=False)


def _table(*headers: str) -> "Table":
    """A plain table in which only the last columns wrap, never a name."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        prose = header in ("summary", "offers, or why not", "meaning")
        table.add_column(header, no_wrap=not prose, overflow="fold")
    return table


_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}
_LENGTHS = {"min_length": "length >=", "max_length": "length <="}


def _describe(option: "Option") -> tuple[str, str, str, str]:
    """Type, default, bounds and meaning of an option, in words."""
    from annotated_types import GroupedMetadata
    from typing_extensions import Doc

    from sgmkit.options import REQUIRED, members, spell

    notes: list[Any] = []
    if typing.get_origin(option.annotation) is Annotated:
        for item in option.annotation.__metadata__:
            notes += item if isinstance(item, GroupedMetadata) else [item]
    bounds = [
        f"{sign} {getattr(note, name)}"
        for note in notes
        for name, sign in (_SIGNS | _LENGTHS).items()
        if getattr(note, name, None) is not None
    ]
    kind = option.kind + " | None" * option.optional if option.kind else ""
    words = kind or " | ".join(_type_words(member) for member in members(option.annotation))
    default = "required" if option.default is REQUIRED else spell(option.default)
    meaning = " ".join(note.documentation for note in notes if isinstance(note, Doc))
    return words, default, ", ".join(bounds), meaning


def _type_words(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if annotation is type(None):
        return "None"
    return annotation.__name__ if type(annotation) is type else str(annotation)


for _verb in VERBS:
    app.command()(_verb)


if __name__ == "__main__":
    sys.exit(main())
