"""`sgmkit report`: results as tables, files and figures."""

from typing import Annotated

import typer

from sgmkit.errors import BadValue


def report_command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Results directories or files; by default ./results.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="One of table, markdown, latex, csv, json and html.",
            show_default="by the suffix of --out, else table",
        ),
    ] = "",
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Write the report into this file; a .png, .svg or .pdf shows the figure.",
            show_default="print it",
        ),
    ] = "",
) -> None:
    """Show results: a line for each solver and a column for each budget, by model and metric."""
    from pathlib import Path

    from sgmkit.benching.store import read_rows
    from sgmkit.report import PICTURES, SUFFIXES, draw_figure, render, write_report

    suffix = Path(out).suffix.lstrip(".")
    if out and not format and suffix not in (*PICTURES, *SUFFIXES):
        suffixes = ", ".join(f".{name}" for name in (*SUFFIXES, *PICTURES))
        raise BadValue(f"--out {out!r} ends in none of {suffixes}; name the format with --format")
    rows = read_rows(*(paths or ()))
    if not format and suffix in PICTURES:
        draw_figure(rows, out)
    elif out:
        write_report(rows, format or SUFFIXES[suffix], out)
    else:
        print(render(rows, format or "table"), end="")
