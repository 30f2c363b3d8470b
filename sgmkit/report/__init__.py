"""Reports: rows of a bench become tables, files and figures.

Read `summary` (rows become entries, with mean and interval over seeds), `grouping` (which entries
share a table), `best` (the best cell of a column), `tables` (solver against budget), `formats` and
`figures` (how both are drawn) and `output` (what the command calls). This room imports `benching`
for its rows, and no torch.
"""

from sgmkit.report.output import FORMATS, PICTURES, SUFFIXES, draw_figure, render, write_report
from sgmkit.report.summary import Entry, aggregate

__all__ = [
    "FORMATS",
    "PICTURES",
    "SUFFIXES",
    "Entry",
    "aggregate",
    "draw_figure",
    "render",
    "write_report",
]
