"""Where the commands print, and their plain tables."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> "Console":
    """Standard output; 120 columns where it is not a terminal, and no markup in anyone's text."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(*headers: str) -> "Table":
    """A plain table in which only the last columns wrap, never a name."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        prose = header in ("summary", "offers, or why not", "meaning", "measured")
        found.add_column(header, no_wrap=not prose, overflow="fold")
    return found
