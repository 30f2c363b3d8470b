"""`sgmkit report`: the form of a report."""

from pathlib import Path

import pytest

from sgmkit.cli.app import main

BENCH = ["bench", "--sde", "vp", "--nfe", "4", "--samples", "16", "--seeds", "1"]
BENCH += ["--evaluators", "energy-distance"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_report_takes_its_form_from_the_name_of_the_file(capsys):
    assert main([*BENCH, "--solvers", "ddim"]) == 0
    starts = {"a.md": "| ", "a.tex": "\\begin", "a.csv": "run,", "a.json": "[", "a.html": "<!"}
    for name, start in starts.items():
        assert main(["report", "--out", name]) == 0
        assert any(line.startswith(start) for line in Path(name).read_text().splitlines()), name
    assert main(["report", "--out", "a.png"]) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["report", "--out", "a.xyz"]) == 2
    assert capsys.readouterr().err == (
        "sgmkit: --out 'a.xyz' ends in none of .txt, .md, .tex, .csv, .json, .html, .png, .svg, "
        ".pdf; name the format with --format\n"
    )
    assert main(["report", "--out", "a.xyz", "--format", "csv"]) == 0
    assert Path("a.xyz").read_text() == Path("a.csv").read_text()
