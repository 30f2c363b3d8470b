"""Tables as text: terminal, Markdown, LaTeX and HTML."""

import re
from html.parser import HTMLParser

from support.report_rows import blank, floor, full, row, tables_of

from sgmkit.report.output import render, write_report


def test_terminal_numbers_are_never_cut():
    rows = [row("euler", 0.5, nfe=n) for n in range(10, 100, 10)]
    for width in (1, 40, 80, 300):
        text = render(rows, "table", width)
        assert "…" not in text
        assert text.count("0.500 ± 0.010") == 9
        assert all(f"NFE {n}" in text for n in range(10, 100, 10))
    lines = render(rows, "table", 80).splitlines()
    assert max(len(line) for line in lines if "±" in line and "euler" in line) <= 80


def test_terminal_table_as_a_reader_sees_it():
    rows = [row("euler", 0.5, nfe=20), row("heun", 0.0123, 0.0004, nfe=20)]
    rows += [blank("ssem", "n/a", "no clock", budget="nfe=20"), floor(0.01)]
    assert render(rows, "table", 100) == (
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
        "* best of its column: its interval does not overlap that of any other measured row "
        "(the floor does not count)\n"
    )


def test_terminal_has_no_colours_in_a_file(tmp_path):
    write_report(full(), "table", tmp_path / "report.txt")
    assert "\x1b" not in (tmp_path / "report.txt").read_text()


def test_markdown_reads_back():
    text = render(full(), "markdown")
    assert "ddim:eta=0.5\\|x" in text
    blocks = [b.splitlines() for b in text.split("\n\n") if b.startswith("|")]
    assert len(blocks) == len(tables_of(full()))
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
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == len(tables_of(full()))
    assert "\\& a\\_matrix $|$ 100 \\%" in text
    assert "\\textbf{" in text
    assert not set(text) - set(map(chr, range(128)))
    for body in re.findall(r"\\toprule(.*?)\\bottomrule", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1


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
    assert page.tables == len(tables_of(full()))
    (picture,) = page.pictures
    assert picture.startswith("data:image/png;base64,iVBOR")
    assert "&lt;Error&gt; {x}" in text
    assert "http" not in text
