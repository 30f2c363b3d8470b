"""`sgmkit plugins`: what each plugin offers, or why it was not loaded."""

from support.cli_site import run


def test_plugins(cli_site):
    done = run(cli_site, "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    header, _, bad, place, good, *_ = done.stdout.split("\n")[1:]
    assert header.split("  ")[0] == " plugin"
    assert header.rstrip().endswith("offers, or why not")
    assert " ".join(bad.split()) == (
        "cli_bad cli_bad 1.0 failed at import ModuleNotFoundError: No module named 'cli_nowhere'"
    )
    assert place.strip() == "(cli_bad/__init__.py:1)"
    assert " ".join(good.split()) == "cli_good cli_good 2.3 ok grid steps, grid plain, solver"


def test_plugins_traceback(cli_site):
    done = run(cli_site, "plugins", "--traceback", "cli_bad")
    assert done.returncode == 0
    assert done.stdout.startswith("Traceback (most recent call last):\n")
    assert 'cli_bad/__init__.py", line 1, in <module>\n    import cli_nowhere\n' in done.stdout
    good = run(cli_site, "plugins", "--traceback", "cli_good")
    assert good.stdout == "plugin 'cli_good' loaded without an error\n"
