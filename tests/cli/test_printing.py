"""Tables and the console of the commands."""

import sys

from sgmkit.cli.printing import console, table


def test_text_is_printed_as_it_stands_and_names_stay_whole(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    rows = table("name", "summary")
    rows.add_row("a-name", "[bold]words " * 30)
    console().print(rows)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) == 120
    assert out.count("a-name") == 1
    assert out.count("[bold]words") == 30
