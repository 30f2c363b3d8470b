"""What is kept of a component that raised."""

import importlib
import re
import sys

import pytest
from support.throwaway import hook, write_distribution

from sgmkit import registry
from sgmkit._util.hashing import describe_hash
from sgmkit.benching.failures import in_full, one_line
from sgmkit.errors import BadValue

SOLVER = '''
from sgmkit import Solver
from lostlib.deep import helper

class Lost(Solver):
    """Fails in a library that it calls."""
    def solve(self, rev, u, grid):
        return helper(u)

    def refuse(self):
        from sgmkit.errors import BadValue
        raise BadValue("steps must be even")
'''
LIBRARY = "def helper(u):\n    raise RuntimeError('first line\\nno way home')\n"


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """A solver in a package inside a package, which fails in a library."""
    site = tmp_path / "site"
    modules = {
        "lost": hook('"solver", "lost", "lost.inner.solver:Lost", ""'),
        "lost.inner": "",
        "lost.inner.solver": SOLVER,
        "lostlib": "",
        "lostlib.deep": LIBRARY,
    }
    write_distribution(site, "lost", modules)
    monkeypatch.syspath_prepend(site)
    registry.reset()
    yield importlib.import_module("lost.inner.solver").Lost()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lost", "lostlib")]:
        del sys.modules[name]
    monkeypatch.undo()
    registry.reset()


def caught(call, *args):
    try:
        call(*args)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_line_of_the_component_is_named_and_not_that_of_a_library(lost):
    error = caught(lost.solve, None, None, None)
    assert one_line(error) == "RuntimeError: no way home (lost/inner/solver.py:8)"
    assert 'raise RuntimeError("' not in one_line(error)


def test_the_traceback_is_kept_in_full(lost):
    text = in_full(caught(lost.solve, None, None, None))
    assert text.startswith("Traceback (most recent call last):\n")
    assert "first line" in text
    for file in ("test_failures.py", "solver.py", "deep.py"):
        assert file in text


def test_an_error_that_says_what_to_do_names_no_file(lost):
    assert one_line(caught(lost.refuse)) == "steps must be even"


def test_without_a_plugin_the_line_in_sgmkit_is_named():
    error = caught(describe_hash, None)
    assert re.search(r"\(sgmkit/_util/hashing.py:\d+\)$", one_line(error))


def test_an_error_that_no_component_raised_is_its_text_alone():
    assert one_line(caught(lambda: 1 / 0)) == "ZeroDivisionError: division by zero"
    assert one_line(ValueError("by hand")) == "ValueError: by hand"
    assert one_line(BadValue("no")) == "no"
