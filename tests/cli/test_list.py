"""`sgmkit list`: a row for each component."""

from support.cli_site import BROKEN, LONG, rows, run


def test_list(cli_site):
    done = run(cli_site, "list", "grid")
    assert (done.returncode, done.stderr) == (0, BROKEN)
    header, _, *body = rows(done.stdout)
    assert header == ["kind", "name", "aliases", "summary", "plugin"]
    assert body == [
        ["grid", "plain", "nothing", "to", "set", "cli_good"],
        ["grid", "steps", "ladder", "steps", "in", "[brackets]", "cli_good"],
    ]


def test_list_everything_breaks_no_name(cli_site):
    done = run(cli_site, "list")
    assert done.returncode == 0
    assert LONG in done.stdout.split()
    assert {row[0] for row in rows(done.stdout)} >= {"grid", "solver"}
    assert max(map(len, done.stdout.splitlines())) == 120
