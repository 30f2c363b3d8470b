"""The console that commands print to, and plain tables."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WRAPPED = ("summary", "offers, or why not", "type", "chosen", "bounds", "meaning", "measured")
"""Headers of the columns whose words may wrap; names in the other columns stay whole."""


def console() -> "Console":
    """Standard output, 120 columns wide unless it is a terminal; text is printed without markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(*headers: str) -> "Table":
    """An empty table with these headers, in which names never wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    empty = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        widest = 26 if header == "type" else None  # a long list of choices leaves room for meaning
        empty.add_column(header, no_wrap=header not in WRAPPED, overflow="fold", max_width=widest)
    return empty
