"""`sgmkit info`: the table of options, in terminals of any width and piped."""

import re
import sys

import pytest
from support.cli_site import BROKEN
from support.throwaway import hook, run_python, write_distribution

from sgmkit import registry
from sgmkit.cli import info
from sgmkit.cli.app import main
from sgmkit.errors import UserError
from sgmkit.registry.hookspecs import KINDS

PRIOR = "sgm:network=unet:noise_min=0.0447:prediction=residual:sde=vp:weighting=likelihood"
PARTS = '''
from sgmkit import Solver, StepSolver

class Deep(StepSolver):
    """Made of others."""
    def __init__(
        self,
        a_name_as_long_as_few_are: float = 1.0,
        lost: Solver = "tw_gone/heun:churn=1",
        path: str = "/a/path/without/any/separator/at/all",
    ): ...
    def step(self, rev, u, t, s): ...
'''


@pytest.fixture
def shown(capsys, monkeypatch):
    """Lines that the command prints, in a terminal of that width or, without one, in a pipe."""
    monkeypatch.setattr(info, "_print_facts", lambda out, name: None)

    def lines(kind, name, width=None):
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(width or 200))  # which a pipe is not asked for
            patch.setenv("TERM", "xterm")
            patch.setattr(sys.stdout, "isatty", lambda: width is not None)
            assert main(["info", kind, name]) == 0
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()

    return lines


def column(lines, name):
    """What stands below a header, without the gaps."""
    start = next(i for i, line in enumerate(lines) if line.startswith(" option "))
    head = lines[start]
    left = head.index(name)
    after = re.search(r"\S", head[left + len(name) :])
    right = left + len(name) + after.start() if after else None
    return [line[left:right].strip() for line in lines[start + 2 :]]


@pytest.mark.parametrize("width", [80, None])
@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_whole(shown, kind, width):
    for name in registry.offers(kind):
        try:
            options = registry.schema(kind, name).options
        except UserError:
            continue  # a package that is not installed
        lines = shown(kind, name, width)
        assert max(map(len, lines)) <= (width or 120)
        if options:
            assert [word for word in column(lines, "option") if word] == list(options), name


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200, None])
def test_a_component_with_options_leaves_room(shown, width):
    lines = shown("model", "lsgm", width)
    names, defaults = column(lines, "option"), column(lines, "default")
    at = names.index("prior")
    assert "".join(defaults[at : names.index("decoder")]) == PRIOR
    assert "".join(defaults[:at]) == "conv"
    assert max(map(len, defaults)) < 23
    meaning = " ".join(" ".join(column(lines, "meaning")).split())
    assert "factor on train.lr" in meaning
    wide = (width or 120) >= 100
    bounds = column(lines, "bounds" if wide else "type")
    assert bounds[names.index("vae_share") + 1 - wide] == ">= 0, <= 1"


@pytest.mark.parametrize("width", [30, 80, None])
def test_what_others_may_offer(tmp_path, monkeypatch, shown, width):
    offered = hook('"solver", "deep", "tw_deep.parts:Deep", ""')
    write_distribution(tmp_path, "tw_deep", {"tw_deep": offered, "tw_deep.parts": PARTS})
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        registry.reset()
        lines = shown("solver", "deep", width)
    registry.reset()
    names, defaults = column(lines, "option"), column(lines, "default")
    assert [x for x in names if x] == ["a_name_as_long_as_few_are", "lost", "path"]
    text = "".join(defaults).removeprefix("1")
    assert text == "(tw_gone/heun:churn=1)/a/path/without/any/separator/at/all"


def test_info(cli_site):
    code = "from sgmkit.cli.app import main; main(['info', 'grid', 'ladder']); print('---');"
    code += "main(['info', 'grid', 'plain'])"
    done = run_python(code, cli_site, SGMKIT_PLUGINS="cli_good,cli_bad")
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
