"""Reports as files: every format, every error."""

import io
import json
import math

import matplotlib as mpl
import pandas as pd
import pytest
from support.report_rows import (
    blank,
    full,
    message,
    row,
)

from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.report.output import FORMATS, draw_figure, render, write_report
from sgmkit.report.summary import ENTRY_COLUMNS, aggregate


@pytest.mark.parametrize("format", ["csv", "json"])
def test_long_form_reads_back_at_full_precision(format):
    rows = [row("euler", 1 / 3e7, seed=s) for s in (0, 1)] + [row("heun", math.nan)]
    text = render(rows, format)
    back = (pd.read_csv if format == "csv" else pd.read_json)(io.StringIO(text))
    assert list(back.columns) == [*ENTRY_COLUMNS]
    assert len(back) == len(aggregate(rows)) == 2
    assert list(back["value"]) == pytest.approx([1 / 3e7, math.nan], rel=1e-14, nan_ok=True)
    assert repr(1 / 3e7) in text
    assert list(back["seeds"]) == [2, 0]
    if format == "json":
        json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("format", FORMATS)
def test_same_rows_same_report(format):
    rows = full()
    backwards = list(reversed(rows))
    assert render(rows, format) == render(backwards, format)


def test_unknown_format():
    with pytest.raises(BadValue) as error:
        render(full(), "htm")
    assert message(error) == (
        "no report format 'htm'; did you mean 'html'? (table, markdown, latex, csv, json, html)"
    )


def test_no_rows():
    with pytest.raises(UnknownName) as error:
        render([])
    assert message(error) == "no rows in these results; run sgmkit bench first"


def test_report_makes_its_directory(tmp_path):
    write_report(full(), "csv", tmp_path / "new" / "r.csv")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.csv"]


def test_report_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError) as error:
        write_report(full(), "csv", tmp_path / "file" / "r.csv")
    assert message(error) == (
        f"cannot write report to '{tmp_path}/file/r.csv': Not a directory; "
        "choose another with --out"
    )
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_figure_files(tmp_path, suffix, magic):
    before = dict(mpl.rcParams)
    for name in "ab":
        draw_figure(full(), tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first.startswith(magic)
    assert first == second
    assert dict(mpl.rcParams) == before


def test_figure_format_and_nothing_to_draw(tmp_path):
    with pytest.raises(BadValue) as error:
        draw_figure(full(), tmp_path / "f.pgn")
    assert message(error) == "no picture format 'pgn'; did you mean 'png'? (png, svg, pdf)"
    with pytest.raises(UserError) as error:
        draw_figure([blank("euler", "n/a", "no clock")], tmp_path / "f.png")
    assert message(error) == (
        "nothing to draw: no measured metric where lower is better; "
        "run sgmkit bench with --evaluators"
    )
    assert list(tmp_path.iterdir()) == []


def test_csv_is_what_pandas_writes():
    rows = [*full(), row("heun", math.inf, sde="vp", reason='with "quotes", and more\nlines')]
    rows.append(row("rk45", -1e-300, params=7, t_min=1e-05, n=None))
    records = [[getattr(entry, name) for name in ENTRY_COLUMNS] for entry in aggregate(rows)]
    frame = pd.DataFrame(records, columns=ENTRY_COLUMNS)
    frame = frame.astype(dict.fromkeys(("params", "steps", "n"), "Int64"))
    assert render(rows, "csv") == frame.to_csv(index=False)
