"""From entries to tables: solver against budget, with the best marked where intervals separate."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sgmkit.report.best import best_of
from sgmkit.report.grouping import (
    PROTOCOL,
    SUBJECT,
    agreed,
    axis,
    group_entries,
    is_cost,
    metric_label,
    solver_label,
)
from sgmkit.report.numbers import number, short
from sgmkit.report.summary import Entry


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


Key = tuple[str, float]
"""Names a column: ``("nfe", 50.0)``, ``("steps", 50.0)`` or ``("tol", 0.001)``."""


@dataclass(frozen=True)
class Column:
    """A column of a table of solvers, which is a budget.

    Args:
        header: its text.
        nfe: the network evaluations that everyone in it spent; None if they differ.
        best: its best entry, if there is one.
    """

    header: str
    nfe: int | None
    best: Entry | None = None


def pivots(entries: Sequence[Entry]) -> list[Table]:
    """Every table of a report: the models themselves, then solver x budget for each metric.

    Metrics with a floor come first, then others, then costs (those that repeat NFE or seconds).
    """
    models = [entry for entry in entries if entry.scope == "model"]
    groups = group_entries(entry for entry in entries if entry.scope != "model")
    data = dict.fromkeys(entry.data for entry in models)
    tables = [_model_table([entry for entry in models if entry.data == name]) for name in data]
    return tables + [_pivot(group) for group in sorted(groups, key=_rank)]


def _rank(group: Sequence[Entry]) -> tuple[str, ...]:
    first = group[0]
    if is_cost(group):
        place = "2"
    else:
        place = "0" if any(entry.scope == "floor" for entry in group) else "1"
    subject = [axis(first, name) for name in SUBJECT]
    protocol = [axis(first, name).zfill(9) for name in PROTOCOL]
    return (*subject, place, first.metric, *protocol)


def _pivot(group: Sequence[Entry]) -> Table:
    """One metric of one model: solvers down, budgets across, the floor at the bottom."""
    cells = [entry for entry in group if entry.scope == "cell"]
    rows, notes = _rows(cells), Notes()
    columns = _columns(rows)
    lines = [_line(label, row, columns, notes) for label, row in rows.items()]
    for entry in _floors(group):
        label = "floor" if entry.n in (None, group[0].n) else f"floor (n {entry.n})"
        lines.append(Line(Cell(label), (_cell(entry, None, notes),) * len(columns), "floor"))
    header = ("solver", *(column.header for column in columns.values()))
    title = " · ".join((*agreed(group[:1], SUBJECT), metric_label(group[0])))
    return Table(title, _caption(group[:1], cells), header, tuple(lines), tuple(notes.texts))


def _model_table(group: Sequence[Entry]) -> Table:
    """What was measured of the models themselves on one data set: models down, metrics across."""
    varying = [
        name
        for name in PROTOCOL
        for metric in dict.fromkeys(entry.metric for entry in group)
        if len({axis(entry, name) for entry in group if entry.metric == metric} - {""}) > 1
    ]
    table: dict[str, dict[str, Entry]] = {}
    for entry in group:
        words = [*agreed([entry], SUBJECT[1:]), *agreed([entry], dict.fromkeys(varying))]
        words += filter(None, [solver_label(entry)])
        label = " · ".join(words) + _source(entry)
        table.setdefault(label, {})[metric_label(entry)] = entry
    # A column that is n/a throughout says nothing, unless there is no other.
    measured = {metric_label(entry) for entry in group if entry.seeds or entry.status == "failed"}
    columns = sorted(measured or {metric_label(entry) for entry in group})
    notes = Notes()
    best = {name: best_of(row[name] for row in table.values() if name in row) for name in columns}
    lines = [
        Line(Cell(label), tuple(_cell(row.get(name), best[name], notes) for name in columns))
        for label, row in table.items()
    ]
    title = " · ".join((*agreed(group, SUBJECT[:1]), "models"))
    return Table(
        title, _caption(group, group), ("model", *columns), tuple(lines), tuple(notes.texts)
    )


def _key(entry: Entry) -> Key | None:
    """The column of an entry; None where it belongs in every column (a solver that cannot run)."""
    if budget := re.fullmatch(r"(nfe|steps|tol)=([-+.\deE]+)", entry.budget):
        return budget[1], float(budget[2])
    return None if math.isnan(entry.nfe) else ("nfe", float(round(entry.nfe)))


def _columns(rows: Mapping[str, Mapping[Key | None, Entry]]) -> dict[Key | None, Column]:
    """Columns in order of NFE, that of the budget or the measured one."""
    entries: dict[Key | None, list[Entry]] = {}
    for key, entry in (item for row in rows.values() for item in row.items()):
        entries.setdefault(key, []).append(entry)
    if len(entries) > 1:
        entries.pop(None, None)
    spent = {
        key: [entry.nfe for entry in column if not math.isnan(entry.nfe)]
        for key, column in entries.items()
    }

    def place(key: Key | None) -> tuple[float, Key]:
        kind, amount = key or ("", 0.0)
        nfe = [amount] if kind == "nfe" else spent[key]
        return (sum(nfe) / len(nfe) if nfe else math.inf), (kind, amount)

    return {key: _column(key, spent[key], entries[key]) for key in sorted(entries, key=place)}


def _column(key: Key | None, spent: Sequence[float], entries: Sequence[Entry]) -> Column:
    kind, amount = key or ("", 0.0)
    text = short(f"{amount:g}")
    if kind == "nfe":
        return Column(f"NFE {text}", round(amount), best_of(entries))
    best = best_of(entries, same_cost=False)
    counts = sorted({round(nfe) for nfe in spent})
    between = "–".join(str(count) for count in dict.fromkeys(counts[:1] + counts[-1:]))
    budget = f"{text} steps" if kind == "steps" else f"{kind} {text}" if key else "value"
    header = f"{budget} (NFE {between})" if counts else budget
    return Column(header, counts[0] if len(counts) == 1 else None, best)


def _rows(cells: Sequence[Entry]) -> dict[str, dict[Key | None, Entry]]:
    """Entries by label and column; measured before published.

    A solver that cannot spend a budget to the last evaluation (9 of 10, at three for each step)
    goes into the column of the others, unless it has a value of its own there; a note says so.
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
    row: Mapping[Key | None, Entry],
    columns: Mapping[Key | None, Column],
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
    cells = tuple(
        _cell(row.get(key) or row.get(None), column.best, notes) for key, column in columns.items()
    )
    published = any(entry.source == "published" for entry in row.values())
    return Line(Cell(label, notes=about), cells, "published" if published else "measured")


def _cell(entry: Entry | None, best: Entry | None, notes: Notes) -> Cell:
    """The number with its interval, or why there is none; blank where nothing was benched."""
    if entry is None:
        return Cell("")
    text = number(entry.value, entry.ci_low, entry.ci_high) if entry.seeds else entry.status
    remark = entry.reason
    if entry.source == "published":
        remark = " · ".join(("published", *agreed([entry], ("n",)), *filter(None, [remark])))
    return Cell(text, entry is best, notes.add(remark))


def _floors(group: Sequence[Entry]) -> list[Entry]:
    """The floor at the n of the table, or at the largest n below it where data is finite."""
    floors = [entry for entry in group if entry.scope == "floor"]
    floors = [entry for entry in floors if entry.seeds] or floors
    n = group[0].n
    if n is None or not floors:
        return floors[:1]
    return [min(floors, key=lambda e: abs((e.n or 0) - n) + ((e.n or 0) > n) * 10**9)]


def _caption(hosts: Sequence[Entry], cells: Sequence[Entry]) -> str:
    """The protocol: every axis on which the hosts agree, and what the intervals are."""
    seeds = sorted({entry.seeds for entry in cells if entry.seeds and entry.source == "measured"})
    count = "–".join(str(number) for number in dict.fromkeys(seeds[:1] + seeds[-1:]))
    mean = "one seed" if count == "1" else f"mean of {count} seeds"
    mean = "value" if all(entry.seed is None for entry in cells) else mean
    words = [f"{mean} ± 95 % interval"] if seeds else []
    for name in PROTOCOL:  # an adaptive solver states no grid: then the others decide
        words += agreed(hosts, [name]) or agreed(cells, [name])
    return " · ".join(words)
