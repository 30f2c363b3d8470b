"""Reports: rows in, a text or a file out. The tables come from `sgmkit.report.tables`."""

import base64
import difflib
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sgmkit._util.files import write_atomic
from sgmkit.benching.results import plain
from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.report.formats import html, latex, markdown, terminal
from sgmkit.report.summary import aggregate, entries
from sgmkit.report.tables import pivots

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "aggregate", "figure", "pivots", "render", "write_report"]

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
"""What a file's name says about its format."""
WIDTH = 120
"""Columns of text where the output is not a terminal."""


def render(frame: "pd.DataFrame", format: str = "table", width: int | None = None) -> str:
    """A report as text, in one of `FORMATS`.

    Tables pivot solver x budget; csv and json hold the aggregated rows at full precision; html is
    one file with the figure in it.

    Args:
        width: columns of text that a ``table`` may take, by default those of the terminal. What is
            wider goes on below; numbers are never cut. Given a width, there are no colours.
    """
    _check(format, FORMATS, "report format")
    if frame.empty:
        raise UnknownName("no rows in these results; run sgmkit bench first")
    if format == "table":
        tty = width is None and sys.stdout.isatty()
        found = shutil.get_terminal_size().columns if tty else WIDTH
        return terminal(pivots(frame), width or found, colour=tty)
    if format == "csv":
        return aggregate(frame).to_csv(index=False)
    if format == "json":
        names = list(aggregate(frame).columns)
        rows = [{name: plain(getattr(entry, name)) for name in names} for entry in entries(frame)]
        return json.dumps(rows, indent=1, allow_nan=False) + "\n"
    if format == "html":
        picture = _picture(frame, "png")
        return html(pivots(frame), base64.b64encode(picture).decode() if picture else "")
    return {"markdown": markdown, "latex": latex}[format](pivots(frame))


def write_report(frame: "pd.DataFrame", format: str, out: str | Path) -> None:
    """Render into a file: whole, or not at all."""
    _write(Path(out), render(frame, format, WIDTH).encode())


def figure(frame: "pd.DataFrame", path: str | Path) -> None:
    """Draw error against measured NFE into a ``.png``, ``.svg`` or ``.pdf``."""
    path = Path(path)
    _check(path.suffix.lstrip("."), PICTURES, "picture format")
    picture = _picture(frame, path.suffix.lstrip("."))
    if not picture:
        raise UserError(
            "nothing to draw: no measured metric where lower is better; "
            "run sgmkit bench with --evaluators"
        )
    _write(path, picture)


def _picture(frame: "pd.DataFrame", format: str) -> bytes:
    """The figure in bytes; empty if there is nothing to draw."""
    from sgmkit.report.figures import draw, to_bytes

    drawn = draw(frame)
    return b"" if drawn is None else to_bytes(drawn, format)


def _check(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "choose another"
        raise BadValue(f"no {what} '{name}'; {hint} ({', '.join(known)})")


def _write(path: Path, data: bytes) -> None:
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        write_atomic(path, data)
    except OSError as error:
        raise UserError(
            f"cannot write report to '{path}': {error.strerror}; choose another with --out"
        ) from None
