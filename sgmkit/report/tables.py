"""From entries to tables: solver against budget, with the best marked where intervals separate."""

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sgmkit.report.grouping import (
    HOW,
    WHO,
    axis,
    group_cells,
    is_cost,
    metric_label,
    said,
    solver_label,
)
from sgmkit.report.summary import Entry, best_of, entries, number, short

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """A text, whether it is the best of its column, and the footnotes on it (counted from 1)."""

    text: str
    best: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    label: Cell
    cells: tuple[Cell, ...]
    kind: Literal["measured", "published", "floor"] = "measured"


@dataclass(frozen=True)
class Table:
    """A table ready to be written in any format.

    Args:
        title: what is shown, with the direction and the unit of the metric.
        caption: the protocol: n, seeds, grid, t_min, last step, start.
        header: one text per column, the first for the labels.
        notes: the footnotes, number 1 first.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


@dataclass
class Notes:
    """Collects footnotes; the same text gets the same number."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        if text not in self.texts:
            self.texts.append(text)
        return (self.texts.index(text) + 1,)


def pivots(frame: "pd.DataFrame") -> list[Table]:
    """Every table of a report: what the models are, then solver x budget for each metric.

    Metrics with a floor come first, then others, then costs (those that repeat NFE or seconds).
    """
    every = entries(frame)
    models = [entry for entry in every if entry.scope == "model"]
    groups = group_cells(entry for entry in every if entry.scope != "model")
    data = dict.fromkeys(entry.data for entry in models)
    tables = [_model_table([entry for entry in models if entry.data == name]) for name in data]
    return tables + [_pivot(group) for group in sorted(groups, key=_rank)]


def _rank(group: list[Entry]) -> tuple[str, ...]:
    first = group[0]
    floor = any(entry.scope == "floor" for entry in group)
    place = "2" if is_cost(group) else "01"[not floor]
    who = [axis(first, name) for name in WHO]
    return (*who, place, first.metric, *(axis(first, name).zfill(9) for name in HOW))


@dataclass(frozen=True)
class Column:
    """A budget: its header, and the NFE that everyone in it spent (None if they differ)."""

    header: str
    nfe: int | None


Key = tuple[str, float]
"""Names a column: ``("nfe", 50.0)``, ``("steps", 50.0)`` or ``("tol", 0.001)``."""


def _pivot(group: list[Entry]) -> Table:
    """One metric of one model: solvers down, budgets across, the floor at the bottom."""
    cells = [entry for entry in group if entry.scope == "cell"]
    rows, notes = _rows(cells), Notes()
    columns = _columns(rows)
    best: set[int] = set()
    for key in columns:
        rivals = [row[key] for row in rows.values() if key in row]
        best |= best_of(rivals, same_cost=key is not None and key[0] == "nfe")
    lines = [_line(label, row, columns, best, notes) for label, row in rows.items()]
    for entry in _floors(group):
        label = "floor" if entry.n in (None, group[0].n) else f"floor (n {entry.n})"
        lines.append(Line(Cell(label), (_cell(entry, best, notes),) * len(columns), "floor"))
    header = ("solver", *(column.header for column in columns.values()))
    title = " · ".join((*said(group[:1], WHO), metric_label(group[0])))
    return Table(title, _caption(group[:1], cells), header, tuple(lines), tuple(notes.texts))


def _model_table(group: list[Entry]) -> Table:
    """What is known of the models themselves, on one data set: models down, metrics across."""
    varying = [
        name
        for name in HOW
        for metric in dict.fromkeys(entry.metric for entry in group)
        if len({axis(entry, name) for entry in group if entry.metric == metric} - {""}) > 1
    ]
    table: dict[str, dict[str, Entry]] = {}
    for entry in group:
        words = [*said([entry], WHO[1:]), *said([entry], dict.fromkeys(varying))]
        words += filter(None, [solver_label(entry)])
        label = " · ".join(words) + _source(entry)
        table.setdefault(label, {})[metric_label(entry)] = entry
    # A column that is n/a throughout tells nothing, unless there is no other.
    told = {metric_label(entry) for entry in group if entry.seeds or entry.status == "failed"}
    columns = sorted(told or {metric_label(entry) for entry in group})
    notes = Notes()
    best: set[int] = set()
    for name in columns:
        best |= best_of([row[name] for row in table.values() if name in row])
    lines = [
        Line(Cell(label), tuple(_cell(row.get(name), best, notes) for name in columns))
        for label, row in table.items()
    ]
    title = " · ".join((*said(group, WHO[:1]), "models"))
    return Table(
        title, _caption(group, group), ("model", *columns), tuple(lines), tuple(notes.texts)
    )


def _key(entry: Entry) -> Key | None:
    """The column of an entry; None where it belongs in every column (a solver that cannot run)."""
    if budget := re.fullmatch(r"(nfe|steps|tol)=([-+.\deE]+)", entry.budget):
        return budget[1], float(budget[2])
    return None if math.isnan(entry.nfe) else ("nfe", float(round(entry.nfe)))


def _columns(rows: dict[str, dict[Key | None, Entry]]) -> dict[Key | None, Column]:
    """Columns in order of NFE, asked for or measured."""
    spent: dict[Key | None, list[float]] = {}
    for key, entry in (item for row in rows.values() for item in row.items()):
        spent.setdefault(key, []).extend([] if math.isnan(entry.nfe) else [entry.nfe])
    if len(spent) > 1:
        spent.pop(None, None)

    def place(key: Key | None) -> tuple[float, Key]:
        kind, amount = key or ("", 0.0)
        nfe = [amount] if kind == "nfe" else spent[key]
        return (sum(nfe) / len(nfe) if nfe else math.inf), (kind, amount)

    return {key: _column(key, spent[key]) for key in sorted(spent, key=place)}


def _column(key: Key | None, spent: list[float]) -> Column:
    kind, amount = key or ("", 0.0)
    text = short(f"{amount:g}")
    if kind == "nfe":
        return Column(f"NFE {text}", round(amount))
    counts = sorted({round(nfe) for nfe in spent})
    between = "–".join(str(count) for count in dict.fromkeys(counts[:1] + counts[-1:]))
    asked = f"{text} steps" if kind == "steps" else f"{kind} {text}" if key else "value"
    header = f"{asked} (NFE {between})" if counts else asked
    return Column(header, counts[0] if len(counts) == 1 else None)


def _rows(cells: list[Entry]) -> dict[str, dict[Key | None, Entry]]:
    """Entries by label and column; measured before published.

    A solver that cannot spend a budget to the last evaluation (9 of 10, three a step) goes into
    the column of the others, unless it has a value of its own there; a note tells.
    """
    rows: dict[str, dict[Key | None, Entry]] = {}
    for entry in sorted(cells, key=lambda e: (e.source == "published", solver_label(e))):
        label = solver_label(entry) + _source(entry)
        while _key(entry) in rows.get(label, {}):
            label += "′"
        rows.setdefault(label, {})[_key(entry)] = entry
    keys = sorted({key for row in rows.values() for key in row if key and key[0] == "nfe"})
    for small, large in zip(keys[-2::-1], keys[:0:-1], strict=True):
        both = any(small in row and large in row for row in rows.values())
        if not both and large[1] - small[1] <= min(5.0, 0.3 * large[1]):
            for row in rows.values():
                if small in row:
                    row[large] = row.pop(small)
    return rows


def _source(entry: Entry) -> str:
    return " (published)" if entry.source == "published" else ""


def _line(
    label: str,
    row: dict[Key | None, Entry],
    columns: dict[Key | None, Column],
    best: set[int],
    notes: Notes,
) -> Line:
    """One solver; a note on its label says what it spent where its columns do not."""
    spent = {
        column.header: short(f"{row[key].nfe:.4g}")
        for key, column in columns.items()
        if key in row and not math.isnan(row[key].nfe) and round(row[key].nfe) != column.nfe
    }
    text = f"spent {', '.join(spent.values())} evaluations under {', '.join(spent)}"
    about = notes.add(text if spent and not is_cost(row.values()) else "")
    found = [row.get(key) or row.get(None) for key in columns]
    cells = tuple(_cell(entry, best, notes) for entry in found)
    published = any(entry.source == "published" for entry in row.values())
    return Line(Cell(label, notes=about), cells, "published" if published else "measured")


def _cell(entry: Entry | None, best: set[int], notes: Notes) -> Cell:
    """The number with its interval, or why there is none; blank where nobody asked."""
    if entry is None:
        return Cell("")
    text = number(entry.value, entry.ci_low, entry.ci_high) if entry.seeds else entry.status
    remark = entry.reason
    if entry.source == "published":
        remark = " · ".join(("published", *said([entry], ("n",)), *filter(None, [remark])))
    return Cell(text, id(entry) in best, notes.add(remark))


def _floors(group: list[Entry]) -> list[Entry]:
    """The floor at the n of the table, or at the largest n below it where data is finite."""
    floors = [entry for entry in group if entry.scope == "floor"]
    floors = [entry for entry in floors if entry.seeds] or floors
    wanted = group[0].n
    if wanted is None or not floors:
        return floors[:1]
    return [min(floors, key=lambda e: abs((e.n or 0) - wanted) + ((e.n or 0) > wanted) * 10**9)]


def _caption(hosts: list[Entry], cells: list[Entry]) -> str:
    """The protocol: every axis on which the hosts agree, and what the intervals are."""
    seeds = sorted({entry.seeds for entry in cells if entry.seeds and entry.source == "measured"})
    count = "–".join(str(number) for number in dict.fromkeys(seeds[:1] + seeds[-1:]))
    mean = "one seed" if count == "1" else f"mean of {count} seeds"
    mean = "value" if all(entry.seed is None for entry in cells) else mean
    words = [f"{mean} ± 95 % interval"] if seeds else []
    for name in HOW:  # an adaptive solver states no grid: then whoever else does
        words += said(hosts, [name]) or said(cells, [name])
    return " · ".join(words)
