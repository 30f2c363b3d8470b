"""Formats and the figure: how a report says it."""

import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import product

import matplotlib as mpl
import pandas as pd
import pytest
from support.report_rows import _records, blank, floor, full, message, row

from sgmkit.benching.results import Row, to_frame
from sgmkit.errors import BadValue, UnknownName, UserError
from sgmkit.report import FORMATS, aggregate, figure, pivots, render, write_report
from sgmkit.report.figures import draw


def test_terminal_numbers_are_never_cut():
    frame = to_frame([row("euler", 0.5, nfe=n) for n in range(10, 100, 10)])
    for width in (1, 40, 80, 300):
        text = render(frame, "table", width)
        assert "…" not in text
        assert text.count("0.500 ± 0.010") == 9
        assert all(f"NFE {n}" in text for n in range(10, 100, 10))
    lines = render(frame, "table", 80).splitlines()
    assert max(len(line) for line in lines if "±" in line and "euler" in line) <= 80


def test_terminal_table_as_a_reader_sees_it():
    rows = [row("euler", 0.5, nfe=20), row("heun", 0.0123, 0.0004, nfe=20)]
    rows += [blank("ssem", "n/a", "no clock", budget="nfe=20"), floor(0.01)]
    assert render(to_frame(rows), "table", 100) == (
        "blobs · exact · cld · energy ↓ [nats]\n"
        "one seed ± 95 % interval · uniform grid · t_min 0.001 · last step none · start prior · "
        "n 1000\n"
        "solver            NFE 20\n"
        "────────────────────────\n"
        "euler   0.500  ± 0.010\n"
        "heun    0.0123 ± 0.0004*\n"
        "ssem             n/a [1]\n"
        "floor   0.0100 ± 0.0010\n"
        "[1] no clock\n"
        "\n"
        "* best of its column: its interval separates from that of every other solver\n"
    )


def test_terminal_has_no_colours_in_a_file(tmp_path):
    write_report(full(), "table", tmp_path / "report.txt")
    assert "\x1b" not in (tmp_path / "report.txt").read_text()


def test_markdown_reads_back():
    text = render(full(), "markdown")
    assert "ddim:eta=0.5\\|x" in text
    blocks = [b.splitlines() for b in text.split("\n\n") if b.startswith("|")]
    assert len(blocks) == len(pivots(full()))
    for block in blocks:
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block}
        assert len(bars) == 1
    assert "**0.101 ± 0.002**" in text
    assert "needs a clock" in text


def test_latex_is_balanced_and_escaped():
    text = render(full(), "latex")
    bare = re.sub(r"\\[{}%&$_#]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == len(pivots(full()))
    assert "\\& a\\_matrix $|$ 100 \\%" in text
    assert "\\textbf{" in text
    assert not set(text) - set(map(chr, range(128)))
    for body in re.findall(r"\\toprule(.*?)\\bottomrule", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1


@pytest.mark.parametrize("format", ["csv", "json"])
def test_long_form_reads_back_at_full_precision(format):
    frame = to_frame([row("euler", 1 / 3e7, seed=s) for s in (0, 1)] + [row("heun", math.nan)])
    text = render(frame, format)
    back = (pd.read_csv if format == "csv" else pd.read_json)(io.StringIO(text))
    expected = aggregate(frame)
    assert list(back.columns) == list(expected.columns)
    assert list(back["value"]) == pytest.approx([1 / 3e7, math.nan], rel=1e-14, nan_ok=True)
    assert repr(1 / 3e7) in text
    assert list(back["seeds"]) == [2, 0]
    if format == "json":
        json.loads(text, parse_constant=pytest.fail)


def test_html_is_one_page_with_its_figure():
    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.pictures, self.tables = [], [], 0

        def handle_starttag(self, tag, attrs):
            self.tables += tag == "table"
            self.pictures += [dict(attrs)["src"]] if tag == "img" else []
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    text = render(full(), "html")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.tables == len(pivots(full()))
    (picture,) = page.pictures
    assert picture.startswith("data:image/png;base64,iVBOR")
    assert "&lt;Error&gt; {x}" in text
    assert "http" not in text


@pytest.mark.parametrize("format", FORMATS)
def test_same_rows_same_report(format):
    frame = full()
    backwards = to_frame(reversed([Row(**r) for r in _records(frame)]))
    assert render(frame, format) == render(backwards, format)


def test_unknown_format():
    with pytest.raises(BadValue) as error:
        render(full(), "htm")
    assert message(error) == (
        "no report format 'htm'; did you mean 'html'? (table, markdown, latex, csv, json, html)"
    )


def test_no_rows():
    with pytest.raises(UnknownName) as error:
        render(to_frame([]))
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


def test_figure_has_a_panel_for_each_error_and_a_line_for_each_solver():
    rows = _records(full())
    cost = [row("euler", n, metric="calls", nfe=n) for n in (20.0, 100.0)]
    good = [row("euler", 0.5, metric="score", better="higher")]
    drawn = draw(to_frame([*(Row(**r) for r in rows), *cost, *good]))
    panels = [panel for panel in drawn.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["blobs · exact · cld", "blobs · exact · vp"]
    for panel in panels:
        assert panel.get_ylabel() == "energy [nats]"
        assert "NFE" in panel.get_xlabel()
        assert panel.get_xscale() == panel.get_yscale() == "log"
        labels = panel.get_legend_handles_labels()[1]
        assert sorted(labels) == ["euler", "floor", "heun", "rk45"]
        (rk45,) = (c for c in panel.containers if c.get_label() == "rk45")
        assert list(rk45.lines[0].get_xdata()) == [62.0]  # at its measured mean
    (legend,) = drawn.legends
    assert [t.get_text() for t in legend.get_texts()] == ["euler", "heun", "rk45", "floor"]


def test_figure_begins_a_row_with_each_data_set_and_keeps_titles_in_their_panels():
    both = [row("euler", 0.5, metric=metric) for metric in ("energy", "trajectory")]
    long = "sgm:network=unet:prediction=v:weighting=likelihood:sampling=uniform"
    learned = [
        row("euler", 0.5, data="digits", run=f"run{i}", model=long, metric="fid") for i in range(4)
    ]
    drawn = draw(to_frame([*both, *learned]))
    panels = [panel for panel in drawn.axes if panel.get_visible()]
    places = {}
    for panel in panels:
        place = panel.get_subplotspec()
        spot = (place.rowspan.start, place.colspan.start)
        places.setdefault(panel.get_ylabel().split()[0], []).append(spot)
    assert places == {
        "energy": [(0, 0)],
        "trajectory": [(0, 1)],
        "fid": [*product([1], range(3)), (2, 0)],
    }
    drawn.canvas.draw()
    for panel in panels:
        title = panel.title.get_window_extent()
        assert title.width < 1.15 * panel.get_window_extent().width


def test_figure_of_rows_that_tell_no_data_set():
    drawn = draw(to_frame([row("euler", 0.5, data=""), row("euler", 0.4)]))
    assert len([panel for panel in drawn.axes if panel.get_visible()]) >= 1


def test_figure_of_values_at_or_below_zero():
    rows = [row("euler", -0.001, half=0.02), row("euler", 0.3, nfe=20), floor(-0.001)]
    (panel,) = draw(to_frame(rows)).axes
    (curve,) = panel.containers
    assert list(curve.lines[0].get_ydata()) == [0.3, pytest.approx(math.nan, nan_ok=True)]
    arrows = [line for line in panel.lines if line.get_marker() == 7]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in arrows if len(line.get_xdata())] == [
        (50.0, pytest.approx(0.019))
    ]
    assert panel.get_ylim()[0] > 0


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_figure_files(tmp_path, suffix, magic):
    before = dict(mpl.rcParams)
    for name in "ab":
        figure(full(), tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first.startswith(magic)
    assert first == second
    assert dict(mpl.rcParams) == before


def test_figure_format_and_nothing_to_draw(tmp_path):
    with pytest.raises(BadValue) as error:
        figure(full(), tmp_path / "f.pgn")
    assert message(error) == "no picture format 'pgn'; did you mean 'png'? (png, svg, pdf)"
    with pytest.raises(UserError) as error:
        figure(to_frame([blank("euler", "n/a", "no clock")]), tmp_path / "f.png")
    assert message(error) == (
        "nothing to draw: no measured metric where lower is better; "
        "run sgmkit bench with --evaluators"
    )
    assert list(tmp_path.iterdir()) == []
