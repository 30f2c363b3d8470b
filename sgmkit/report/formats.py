"""Tables as text: terminal, Markdown, LaTeX and HTML."""

import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from sgmkit.report.tables import Cell, Line, Table

if TYPE_CHECKING:
    import rich.table

BEST = (
    "best of its column: its interval does not overlap that of any other measured row "
    "(the floor does not count)"
)
_STYLES = {"floor": "dim", "published": "italic", "measured": ""}
_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "↓": "$\\downarrow$",
    "↑": "$\\uparrow$",
    "·": "$\\cdot$",
    "′": "$'$",
    "–": "--",
    "—": "---",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>sgmkit report</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0 }
p, ol { color: #555; margin: .2rem 0 .6rem; font-size: .9rem }
img { max-width: 100% }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
table { display: block; overflow: auto }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap; font-weight: 400 }
th:first-child { text-align: left; padding-left: 0 }
thead th { border-bottom: 1px solid #888; font-weight: 600 }
tr.floor > * { border-top: 1px solid #ccc; color: #666 }
tr.published > * { font-style: italic }
b { color: #14692b }
</style>
<h1>sgmkit report</h1>"""


def terminal(tables: list[Table], width: int, colour: bool = False) -> str:
    """Tables for a terminal.

    The columns of a table wider than ``width`` continue below it, with the labels repeated.
    """
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    # Blocks fit into `width` already, so the console must not fold or cut anything.
    console = Console(file=out, width=10_000, force_terminal=colour, highlight=False)
    for table in tables:
        console.print(Text(table.title, "bold"))
        console.print(Text(table.caption, "dim"))
        for index, block in enumerate(_blocks(table, width)):
            console.print(*([""] if index else []), _grid(block), sep="\n")
        for number, note in enumerate(table.notes, start=1):
            console.print(Text(f"[{number}] {note}", "dim"))
        console.print()
    if _any_best(tables):
        console.print(Text(f"* {BEST}"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _grid(block: Table) -> "rich.table.Table":
    """One block as a table of rich."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1))
    texts = [_aligned(column) for column in zip(*(line.cells for line in block.lines), strict=True)]
    grid.add_column(Text(block.header[0], "bold"), no_wrap=True)
    for name, column in zip(block.header[1:], texts, strict=True):
        # Padded here: rich drops the spaces that a right-aligned text ends in.
        grid.add_column(Text(name.rjust(len(column[0])), "bold"), no_wrap=True)
        wide = max(len(name), len(column[0]))
        column[:] = [text.rjust(wide) for text in column]
    for row, line in enumerate(block.lines):
        style = _STYLES[line.kind]
        cells = [Text(_marked(line.label), style)]
        for column, cell in zip(texts, line.cells, strict=True):
            cells.append(Text(column[row], "bold green" if cell.best else style))
        grid.add_row(*cells)
    return grid


def _blocks(table: Table, width: int) -> Iterator[Table]:
    """Pieces of the table: whole columns with the labels, none wider than ``width`` if possible."""
    labels = [table.header[0], *(_marked(line.label) for line in table.lines)]
    room = width - max(map(len, labels))
    columns = list(zip(*(line.cells for line in table.lines), strict=True))
    start, used = 0, 0
    for index, column in enumerate(columns):
        need = 2 + max(len(text) for text in (table.header[index + 1], *_aligned(column)))
        if used + need > room and index > start:
            yield _piece(table, start, index)
            start, used = index, 0
        used += need
    yield _piece(table, start, len(columns))


def _piece(table: Table, start: int, stop: int) -> Table:
    lines = tuple(Line(line.label, line.cells[start:stop], line.kind) for line in table.lines)
    header = (table.header[0], *table.header[1 + start : 1 + stop])
    return Table(table.title, table.caption, header, lines, table.notes)


def _marked(cell: Cell) -> str:
    notes = "".join(f" [{number}]" for number in cell.notes)
    return f"{cell.text}{'*' if cell.best else ''}{notes}"


def _aligned(column: tuple[Cell, ...]) -> list[str]:
    """The texts of a column, padded so that decimal points and ± stand below one another."""
    parts = [_parts(cell) for cell in column]
    wide = [max(map(len, place)) for place in zip(*parts, strict=True)]
    wide[0] += max(0, *(len(_marked(cell)) - sum(wide) for cell in column))
    texts = []
    for cell, (whole, rest, half, mark) in zip(column, parts, strict=True):
        if cell.text[-1:].isdigit():
            text = whole.rjust(wide[0]) + rest.ljust(wide[1]) + half.ljust(wide[2])
            texts.append(text + mark.ljust(wide[3]))
        else:
            texts.append(_marked(cell).rjust(sum(wide)))
    return texts


def _parts(cell: Cell) -> tuple[str, str, str, str]:
    """The text in four parts to align: ``("0", ".123", " ± 0.004", "*")``."""
    if not cell.text[-1:].isdigit():
        return "", "", "", ""
    value, sign, half = cell.text.partition(" ± ")
    whole, point, rest = value.partition(".")
    return whole, point + rest, sign + half, _marked(cell)[len(cell.text) :]


def _any_best(tables: list[Table]) -> bool:
    return any(cell.best for table in tables for line in table.lines for cell in line.cells)


def markdown(tables: list[Table]) -> str:
    """Tables in GitHub's Markdown; the best cell of a column is bold."""
    out = []
    for table in tables:
        rows = [[_markdown(c) for c in (line.label, *line.cells)] for line in table.lines]
        head = [_markdown(Cell(text)) for text in table.header]
        wide = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]
        rule = ["-" * wide[0], *("-" * (w - 1) + ":" for w in wide[1:])]
        out += [f"### {table.title}", "", table.caption, ""]
        for first, *rest in (head, rule, *rows):
            padded = (text.rjust(w) for text, w in zip(rest, wide[1:], strict=True))
            out.append(f"| {' | '.join((first.ljust(wide[0]), *padded))} |")
        out += ["", *(f"- [{number}] {note}" for number, note in enumerate(table.notes, start=1))]
        out += [""] if table.notes else []
    if _any_best(tables):
        out += [f"Bold: {BEST}.", ""]
    return "\n".join(out)


def _markdown(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|")
    notes = "".join(f" [{number}]" for number in cell.notes)
    return (f"**{text}**" if cell.best else text) + notes


def latex(tables: list[Table]) -> str:
    """A LaTeX ``table`` for each table, with the rules of booktabs; the best cell is bold."""
    out = ["% needs \\usepackage{booktabs}"]
    for table in tables:
        caption = ". ".join(filter(None, (table.title, table.caption)))
        if any(cell.best for line in table.lines for cell in line.cells):
            caption += f". Bold: {BEST}"
        out += ["\\begin{table}", "\\centering", f"\\caption{{{_tex(caption)}.}}"]
        out += [f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", "\\toprule"]
        out += [" & ".join(map(_tex, table.header)) + " \\\\", "\\midrule"]
        for line, before in zip(table.lines, (None, *table.lines), strict=False):
            if before and line.kind == "floor" != before.kind:
                out.append("\\midrule")
            out.append(" & ".join(_tex_cell(c) for c in (line.label, *line.cells)) + " \\\\")
        out += ["\\bottomrule", "\\end{tabular}"]
        for number, note in enumerate(table.notes, start=1):
            out.append(f"\\par\\footnotesize $^{{{number}}}$ {_tex(note)}")
        out += ["\\end{table}", ""]
    return "\n".join(out)


def _tex_cell(cell: Cell) -> str:
    text = _tex(cell.text)
    marks = f"$^{{{','.join(map(str, cell.notes))}}}$" if cell.notes else ""
    return (f"\\textbf{{{text}}}" if cell.best else text) + marks


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def html(tables: list[Table], picture: str = "") -> str:
    """One page that needs no other file.

    Args:
        tables: to show.
        picture: of the figure, a PNG in base64; empty if there is none.
    """
    out = [_PAGE]
    if picture:
        out.append(f'<img alt="error against NFE" src="data:image/png;base64,{picture}">')
    for table in tables:
        out += [f"<h2>{escape(table.title)}</h2>", f"<p>{escape(table.caption)}</p>"]
        head = "".join(f"<th>{escape(text)}</th>" for text in table.header)
        out += ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
        for line in table.lines:
            cells = "".join(f"<td>{_html_cell(cell)}</td>" for cell in line.cells)
            label = f"<th>{_html_cell(line.label)}</th>"
            out.append(f'<tr class="{line.kind}">{label}{cells}</tr>')
        out += ["</tbody>", "</table>"]
        notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
        out += [f"<ol>{notes}</ol>"] if notes else []
    if _any_best(tables):
        out.append(f"<p>Bold: {escape(BEST)}.</p>")
    return "\n".join([*out, "</html>", ""])


def _html_cell(cell: Cell) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    return text + (f"<sup>{','.join(map(str, cell.notes))}</sup>" if cell.notes else "")
