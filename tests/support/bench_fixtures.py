"""Throw-away solvers and evaluators, and the fixtures of the tests of the bench."""

import importlib
import re
import sys
from types import SimpleNamespace

import pytest
from support.throwaway import hook, write_distribution

from sgmkit import registry
from sgmkit.benching import cells
from sgmkit.benching.results import load_results
from sgmkit.cli import app as cli

SMALL = "--sde vp --samples 8 --seeds 1"


FAST = f"{SMALL} --evaluators energy-distance"


PARTS = '''
import math
from dataclasses import dataclass
import torch
from sgmkit import Evaluator, Incompatible, Metric, Solver, Value

BROKEN = True

class Base(Solver):
    def solve(self, rev, u, grid):
        if BROKEN:
            self.trouble(u)
        return u

class Boom(Base):
    """Fails, in two lines."""
    def trouble(self, u): raise RuntimeError("first line\\nsecond line")

class Nan(Base):
    """Spoils two samples."""
    def solve(self, rev, u, grid):
        u = u.clone()
        u[1], u[4, 0, 1] = math.nan, math.inf
        return u

class Odd(Base):
    """Cannot say whether it fits."""
    def supports(self, sde):
        if BROKEN: raise KeyError("weather")

class Spy(Base):
    """Returns the first noise of its steps."""
    def solve(self, rev, u, grid): return rev.noise(u)

class Vandal(Base):
    """Writes on its arguments, and fails."""
    def trouble(self, u): raise ZeroDivisionError("by hand")
    def solve(self, rev, u, grid):
        grid.fill_(0.5)
        return super().solve(rev, u, grid)

@dataclass(frozen=True)
class Supple(Base):
    """Adaptive, with an option of its own."""
    rtol: float = 1e-3
    atol: float = 1e-3
    safety: float = 0.9
    adaptive = True

class Loose(Base):
    """Adaptive, without tolerances."""
    adaptive = True

class Sum(Evaluator):
    """A tensor for a number."""
    metrics = (Metric("sum", "lower"),)
    def evaluate(self, ctx): return [Value("sum", ctx.samples.sum(), n=3)]

class Bad(Evaluator):
    """Two metrics and no luck."""
    metrics = (Metric("bad", "lower"), Metric("worse", "higher", unit="x"))
    def evaluate(self, ctx):
        if BROKEN: raise ValueError("no luck")
        return [Value("worse", 2.0), Value("bad", 1.0)]

class Undeclared(Bad):
    """Says one thing and does another."""
    metrics = (Metric("radius", "lower"),)

class Twin(Sum):
    """Measures what another one does."""
    metrics = (Metric("energy-distance", "lower"),)

class Picky(Sum):
    """For whole models only."""
    scope = "model"
    metrics = (Metric("picky", "lower"),)
    def evaluate(self, ctx): raise Incompatible("not for the likes of you")
'''


NAMES = "Boom Nan Odd Spy Vandal Supple Loose"


EVALUATORS = "Sum Bad Undeclared Twin Picky"


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The throw-away solvers and evaluators above, installed; their module."""
    offers = [("solver", name) for name in NAMES.split()]
    offers += [("evaluator", name) for name in EVALUATORS.split()]
    components = [f'"{kind}", "{n.lower()}", "bench_parts.parts:{n}", "x"' for kind, n in offers]
    site = tmp_path / "site"
    write_distribution(
        site, "bench_parts", {"bench_parts": hook(*components), "bench_parts.parts": PARTS}
    )
    monkeypatch.syspath_prepend(site)
    registry.reset()
    yield importlib.import_module("bench_parts.parts")
    for name in ("bench_parts", "bench_parts.parts"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
    registry.reset()


@pytest.fixture
def planned(monkeypatch):
    """From bench arguments to the plan, as the command line makes it."""
    plans = []
    module = sys.modules["sgmkit.cli.bench"]  # `sgmkit.cli.bench` is the verb
    monkeypatch.setattr(module, "_bench", lambda plan, *_: plans.append(plan))

    def parse(text):
        assert cli.main(["bench", *text.split()]) == 0
        return plans.pop()

    return parse


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a bench in an empty directory: its counts, its standard error and its rows."""
    monkeypatch.chdir(tmp_path)

    def go(text):
        code = cli.main(["bench", *text.split()])
        printed = capsys.readouterr()
        counts = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", printed.out)}
        counts = {"all": counts.pop("cells"), **counts}
        assert counts["all"] == sum(counts.values()) - counts["all"]
        assert code == (counts["failed"] > 0)
        return SimpleNamespace(counts=counts, err=printed.err, frame=load_results("results"))

    return go


def place(code):
    """The file and line of these words in the components above, as a reason names them."""
    (line,) = (n for n, text in enumerate(PARTS.splitlines(), 1) if code in text)
    return f"(bench_parts/parts.py:{line})"


def hashes(plan, scope="cell"):
    return [job.hash for job in cells.jobs_of(plan) if job.description["scope"] == scope]


def picked(frame, **values):
    """The one row with these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def columns_of(plan):
    """The columns that the rows of each job share."""
    return [SimpleNamespace(**job.columns) for job in cells.jobs_of(plan)]


def contexts(plan):
    """The shared columns of each job, and what evaluators then look at."""
    return [(SimpleNamespace(**job.columns), job.prepare()) for job in cells.jobs_of(plan)]
