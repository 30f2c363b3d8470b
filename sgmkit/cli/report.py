"""`sgmkit report`: results as tables, files and figures."""

from typing import Annotated

import typer

from sgmkit.errors import BadValue


def report_command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Results; ./results by default.")
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="table, markdown, latex, csv, json or html (as FILE's suffix says, else table)."
        ),
    ] = "",
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Write there; .png, .svg and .pdf draw the figure.")
    ] = "",
) -> None:
    """Show results: solver x NFE for each model, SDE and metric."""
    from pathlib import Path

    from sgmkit.benching.store import read_rows
    from sgmkit.report import PICTURES, SUFFIXES, draw_figure, render, write_report

    suffix = Path(out).suffix.lstrip(".")
    if out and not format and suffix not in (*PICTURES, *SUFFIXES):
        known = ", ".join(f".{name}" for name in (*SUFFIXES, *PICTURES))
        raise BadValue(f"--out {out!r} ends in none of {known}; say --format")
    rows = read_rows(*(paths or ()))
    if not format and suffix in PICTURES:
        draw_figure(rows, out)
    elif out:
        write_report(rows, format or SUFFIXES[suffix], out)
    else:
        print(render(rows, format or "table"), end="")
