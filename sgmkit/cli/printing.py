"""Where the commands print, and their plain tables."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WRAPPED = ("summary", "offers, or why not", "type", "given", "bounds", "meaning", "measured")


def console() -> "Console":
    """Standard output; 120 columns where it is not a terminal, and no markup in anyone's text."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(*headers: str) -> "Table":
    """A plain table in which only words wrap, never a name."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        most = 26 if header == "type" else None  # a list of choices leaves room for meaning
        found.add_column(header, no_wrap=header not in WRAPPED, overflow="fold", max_width=most)
    return found
