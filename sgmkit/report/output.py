"""Reports of rows: a text, a file or a figure."""

import base64
import csv
import difflib
import io
import json
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sgmkit._util.files import write_atomic
from sgmkit.benching.rows import Row, plain
from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.report.formats import html, latex, markdown, terminal
from sgmkit.report.summary import ENTRY_COLUMNS, Entry, aggregate, to_record
from sgmkit.report.tables import pivots

FORMATS = ("table", "markdown", "latex", "csv", "json", "html")
PICTURES = ("png", "svg", "pdf")
SUFFIXES = {
    "txt": "table",
    "md": "markdown",
    "tex": "latex",
    "csv": "csv",
    "json": "json",
    "html": "html",
}
"""The format of a report by the suffix of its file."""
WIDTH = 120
"""Columns of text where the output is not a terminal."""


def render(rows: Iterable[Row], format: str = "table", width: int | None = None) -> str:
    """A report as text.

    Tables have a line for each solver and a column for each budget; csv and json hold the
    aggregated rows at full precision; html is one file with the figure in it.

    Args:
        rows: what was measured.
        format: one of `FORMATS`.
        width: columns of text that a ``table`` may take, by default those of the terminal. The
            columns of a wider table continue below it; numbers are never cut. With a width, there
            are no colours.

    Raises:
        UserError: where there are no rows, or no such format.
    """
    _check(format, FORMATS, "report format")
    entries = aggregate(rows)
    if not entries:
        raise UnknownName("no rows in these results; run sgmkit bench first")
    if format == "csv":
        return _csv(entries)
    if format == "json":
        return _json(entries)
    tables = pivots(entries)
    if format == "table":
        colour = width is None and sys.stdout.isatty()
        available = shutil.get_terminal_size().columns if colour else WIDTH
        return terminal(tables, width or available, colour=colour)
    if format == "html":
        picture = _picture(entries, "png")
        return html(tables, base64.b64encode(picture).decode() if picture else "")
    return {"markdown": markdown, "latex": latex}[format](tables)


def write_report(rows: Iterable[Row], format: str, out: str | Path) -> None:
    """Write a report into a file: whole, or not at all."""
    _write(Path(out), render(rows, format, WIDTH).encode())


def draw_figure(rows: Iterable[Row], path: str | Path) -> None:
    """Draw error against measured NFE into a ``.png``, ``.svg`` or ``.pdf``."""
    path = Path(path)
    format = path.suffix.lstrip(".")
    _check(format, PICTURES, "picture format")
    picture = _picture(aggregate(rows), format)
    if not picture:
        raise UserError(
            "nothing to draw: no measured metric where lower is better; "
            "run sgmkit bench with --evaluators"
        )
    _write(path, picture)


def _csv(entries: Sequence[Entry]) -> str:
    """A line for each entry; a missing number is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ENTRY_COLUMNS)
    for entry in entries:
        writer.writerow(
            "" if isinstance(value, float) and math.isnan(value) else value
            for value in to_record(entry).values()
        )
    return out.getvalue()


def _json(entries: Sequence[Entry]) -> str:
    records = [
        {name: plain(value) for name, value in to_record(entry).items()} for entry in entries
    ]
    return json.dumps(records, indent=1, allow_nan=False) + "\n"


def _picture(entries: Sequence[Entry], format: str) -> bytes:
    """The figure in bytes; empty if there is nothing to draw."""
    from sgmkit.report.figures import draw, to_bytes

    figure = draw(entries)
    return b"" if figure is None else to_bytes(figure, format)


def _check(name: str, names: Sequence[str], kind: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "choose another"
        raise BadValue(f"no {kind} '{name}'; {hint} ({', '.join(names)})")


def _write(path: Path, data: bytes) -> None:
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        write_atomic(path, data)
    except OSError as error:
        raise UserError(
            f"cannot write report to '{path}': {error.strerror}; choose another with --out"
        ) from None
