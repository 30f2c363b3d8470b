"""How every command ends: its status, one line for a mistake, and nothing heavy imported."""

import time

import pytest
from support.cli_site import BROKEN, run
from support.throwaway import run_python

import sgmkit
from sgmkit.cli import app as cli


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["list", "gird"],
            "no kind 'gird'; did you mean 'grid'? "
            "(kinds: sde, network, model, autoencoder, solver, grid, dataset, evaluator, "
            "extractor)",
        ),
        (
            ["info", "grid", "step"],
            "no grid named 'step'; did you mean 'steps'? (sgmkit list grid shows all 2)",
        ),
        (
            ["plugins", "--traceback", "cli_bed"],
            "no plugin named 'cli_bed'; did you mean 'cli_bad'?",
        ),
        (["info", "grid"], "Missing argument 'NAME' (sgmkit info --help)"),
        (["list", "--kind"], "No such option: --kind (sgmkit list --help)"),
        (["zzz"], "No such command 'zzz' (sgmkit --help)"),
    ],
)
def test_mistakes_end_in_one_line(cli_site, args, message):
    done = run(cli_site, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.removeprefix(BROKEN) == f"sgmkit: {message}\n"


def test_help_and_version(cli_site):
    helped, bare = run(cli_site, "--help"), run(cli_site)
    assert (helped.returncode, bare.returncode, helped.stderr) == (0, 0, "")
    assert helped.stdout == bare.stdout
    assert all(verb in helped.stdout for verb in ("list", "info", "plugins"))
    assert run(cli_site, "--version").stdout == "0.1.0\n"


def test_a_reader_that_leaves_early_is_no_error(cli_site):
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
        "from sgmkit.cli.app import main; sys.exit(main(['list']))"
    )
    done = run_python(code, cli_site, SGMKIT_PLUGINS="cli_good")
    assert (done.returncode, done.stderr) == (1, "")


def end(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("sgmkit.registry.plugins", fail)
    return cli.main(["plugins"])


def test_interruption_is_one_line(monkeypatch, capsys):
    assert end(monkeypatch, KeyboardInterrupt()) == 2
    assert capsys.readouterr().err == "sgmkit: interrupted\n"


def test_a_message_of_several_lines_becomes_one(monkeypatch, capsys):
    assert end(monkeypatch, sgmkit.UserError("first\n  second")) == 2
    assert capsys.readouterr().err == "sgmkit: first second\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        end(monkeypatch, ZeroDivisionError())


@pytest.mark.parametrize("args", [["--help"], ["list"], ["plugins"], ["list", "nonsense"]])
def test_nothing_heavy_is_imported(args):
    """With every built-in plugin that is installed, not only with the throw-away ones."""
    code = (
        f"import sys; from sgmkit.cli.app import main; main({args!r});"
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib', 'sklearn'}"
        " & set(sys.modules); sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    start = time.perf_counter()
    done = run_python(code, None)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 5  # a fifth of a second alone; torch alone takes longer
