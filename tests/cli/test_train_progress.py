"""Lines on standard error while a training goes on."""

import importlib
import re

from support.train_fixtures import TINY

from sgmkit.cli import app as cli


def test_lines_on_the_way(tiny, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module("sgmkit.cli.train"), "EVERY", 1e-9)
    assert cli.main([*TINY, "--out", "run"]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 11
    assert re.fullmatch(r"step 2 of 12: \d+:\d\d left", lines[0])  # the log has no line yet
    line = r"step 6 of 12: loss \d\.\d+, \d+ images/s, \d+:\d\d left"
    assert re.fullmatch(line, lines[4])
    assert said.out.startswith("run: 12 steps, loss 0.")
