"""The command line's `list`, `info` and `plugins`, and how every command ends."""

import time
from importlib.metadata import version

import pytest
from support.throwaway import hook, run_python, run_sgmkit, write_distribution

import sgmkit
from sgmkit.cli import app as cli

PARTS = '''
from dataclasses import dataclass
from typing import Annotated, Literal
from annotated_types import Ge, Len
from typing_extensions import Doc
from sgmkit import Grid

@dataclass(frozen=True)
class Steps(Grid):
    """Steps of a throw-away
    kind.

    And a second paragraph.
    """

    rho: Annotated[float, Ge(0), Doc("[bold] exponent")] = 7
    mode: Literal["a", "b"] = "a"
    ends: Annotated[tuple[float, ...] | None, Len(1, 2)] = None
    first: Grid | None = None

    def times(self, sde, steps, t_min): ...

class Plain(Grid):
    """No options here."""
    def times(self, sde, steps, t_min): ...
'''

LONG = "a-name-so-long-that-a-table-of-120-columns-would-rather-break-it"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A good plugin, one that needs a module that is not there, and no other."""
    site = tmp_path_factory.mktemp("site")
    write_distribution(site, "sgmkit", {}, version="0.1.0", plugins={})
    good = hook(
        '"grid", "steps", "cli_good.parts:Steps", "steps in [brackets]", ("ladder",)',
        '"grid", "plain", "cli_good.parts:Plain", "nothing to set"',
        f'"solver", "{LONG}", "cli_good.parts:Gone", "{"long words " * 20}"',
    )
    write_distribution(site, "cli_good", {"cli_good": good, "cli_good.parts": PARTS}, version="2.3")
    write_distribution(site, "cli_bad", {"cli_bad": "import cli_nowhere"})
    return site


def run(site, *args):
    return run_sgmkit(site, *args, SGMKIT_PLUGINS="cli_good,cli_bad")


def rows(text):
    return [line.split() for line in text.splitlines() if line.strip()]


BROKEN = (
    "sgmkit: plugin 'cli_bad' failed at import: ModuleNotFoundError: "
    "No module named 'cli_nowhere' (sgmkit plugins --traceback cli_bad)\n"
)


def test_list(site):
    done = run(site, "list", "grid")
    assert (done.returncode, done.stderr) == (0, BROKEN)
    header, _, *body = rows(done.stdout)
    assert header == ["kind", "name", "aliases", "summary", "plugin"]
    assert body == [
        ["grid", "plain", "nothing", "to", "set", "cli_good"],
        ["grid", "steps", "ladder", "steps", "in", "[brackets]", "cli_good"],
    ]


def test_list_everything_breaks_no_name(site):
    done = run(site, "list")
    assert done.returncode == 0
    assert LONG in done.stdout.split()
    assert {row[0] for row in rows(done.stdout)} >= {"grid", "solver"}
    assert max(map(len, done.stdout.splitlines())) == 120


def test_info(site):
    code = "from sgmkit.cli.app import main; main(['info', 'grid', 'ladder']); print('---');"
    code += "main(['info', 'grid', 'plain'])"
    done = run_python(code, site, SGMKIT_PLUGINS="cli_good,cli_bad")
    assert (done.returncode, done.stderr) == (0, BROKEN)
    steps, plain = done.stdout.split("---")
    assert [line.rstrip() for line in steps.rstrip().splitlines()] == [
        "grid cli_good/steps (cli_good 2.3)",
        "steps in [brackets]",
        "aliases: ladder",
        "",
        "Steps of a throw-away kind.",
        "",
        " option   type                       default   bounds                     meaning",
        " " + "─" * 88,
        " rho      float                      7         >= 0                       [bold] exponent",
        " mode     a | b                      a",
        " ends     tuple[float, ...] | None   none      length >= 1, length <= 2",
        " first    grid | None                none",
    ]
    assert plain.endswith("No options here.\n\nno options\n")


def test_plugins(site):
    done = run(site, "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    header, _, bad, good, *_ = done.stdout.split("\n")[1:]
    assert header.split("  ")[0] == " plugin"
    assert header.rstrip().endswith("offers, or why not")
    assert " ".join(bad.split()) == (
        "cli_bad cli_bad 1.0 failed at import ModuleNotFoundError: No module named 'cli_nowhere'"
    )
    assert " ".join(good.split()) == "cli_good cli_good 2.3 ok grid steps, grid plain, solver"


def test_plugins_traceback(site):
    done = run(site, "plugins", "--traceback", "cli_bad")
    assert done.returncode == 0
    assert done.stdout.startswith("Traceback (most recent call last):\n")
    assert 'cli_bad/__init__.py", line 1, in <module>\n    import cli_nowhere\n' in done.stdout
    good = run(site, "plugins", "--traceback", "cli_good")
    assert good.stdout == "plugin 'cli_good' loaded without an error\n"


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
        (["info", "grid"], "Missing argument 'name' (sgmkit info --help)"),
        (["list", "--kind"], "No such option: --kind (sgmkit list --help)"),
        (["zzz"], "No such command 'zzz' (sgmkit --help)"),
    ],
)
def test_mistakes_end_in_one_line(site, args, message):
    done = run(site, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.removeprefix(BROKEN) == f"sgmkit: {message}\n"


def test_help_and_version(site):
    asked, bare = run(site, "--help"), run(site)
    assert (asked.returncode, bare.returncode, asked.stderr) == (0, 0, "")
    assert asked.stdout == bare.stdout
    assert all(verb in asked.stdout for verb in ("list", "info", "plugins"))
    assert run(site, "--version").stdout == "0.1.0\n"


def test_a_reader_that_leaves_early_is_no_error(site):
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
        "from sgmkit.cli.app import main; sys.exit(main(['list']))"
    )
    done = run_python(code, site, SGMKIT_PLUGINS="cli_good")
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


def test_importing_sgmkit_imports_nothing():
    code = "import sys; import sgmkit; dir(sgmkit); print(*{'torch', 'pluggy'} & set(sys.modules))"
    assert run_python(code, None).stdout == "\n"


def test_every_public_name_exists():
    for name in {*sgmkit.__all__} - {"__version__", "hookimpl"}:
        assert getattr(sgmkit, name).__name__ == name
    assert sgmkit.hookimpl.project_name == "sgmkit"
    assert sgmkit.__version__ == version("sgmkit")
    assert set(sgmkit.__all__) <= set(dir(sgmkit))
    with pytest.raises(AttributeError, match="module 'sgmkit' has no attribute 'nothing'"):
        _ = sgmkit.nothing
