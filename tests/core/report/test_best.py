"""The best cell of a column: only where its interval separates."""

import math

import pytest
from support.report_rows import adaptive, best, blank, only, row, texts

from sgmkit.report.best import best_of
from sgmkit.report.summary import aggregate


def test_infinite_value_is_shown_and_never_best():
    rows = [row("euler", math.inf, seed=s) for s in (0, 1)]
    rows += [row("heun", 0.5 + s / 1000, seed=s) for s in (0, 1)]
    assert texts(only(rows))["euler"] == ["inf"]
    assert best(rows) == {"heun"}


@pytest.mark.parametrize(
    ("better", "gap", "marked"),
    [
        ("lower", 0.021, {"low"}),
        ("lower", 0.019, set()),
        ("higher", 0.021, {"high"}),
        ("higher", 0.019, set()),
        ("", 0.021, set()),
    ],
)
def test_best_only_where_intervals_separate(better, gap, marked):
    rows = [row("low", 0.5, better=better), row("high", 0.5 + gap, better=better)]
    assert best(rows) == marked


def test_best_separates_from_every_other():
    rows = [row("a", 0.5), row("b", 0.6), row("c", 0.7)]
    assert best(rows) == {"a"}
    assert best([*rows, row("d", 0.7, half=0.25)]) == set()


def test_best_needs_a_rival_an_interval_and_all_seeds():
    assert best([row("a", 0.5)]) == set()
    assert best([row("a", 0.5), blank("b", "failed", "boom")]) == set()
    assert best([row("a", 0.5, half=math.nan), row("b", 0.9)]) == set()
    assert best([row("a", 0.5), row("b", 0.9, half=math.nan)]) == set()
    rows = [row(s, v + i / 1000, seed=i) for s, v in (("a", 0.5), ("b", 0.9)) for i in (0, 1)]
    assert best(rows) == {"a"}
    assert best([*rows, blank("a", "failed", "boom", seed=2)]) == set()


def test_best_is_decided_column_by_column():
    rows = [row("a", 0.5, nfe=20), row("b", 0.9, nfe=20), row("a", 0.5), row("b", 0.1)]
    marks = {line.label.text: [c.best for c in line.cells] for line in only(rows).lines}
    assert marks == {"a": [True, False], "b": [False, True]}


def test_best_of_a_tolerance_must_not_have_spent_more():
    cheap = [adaptive(0.5, 80.0), adaptive(0.9, 90.0, solver="dopri")]
    dear = [adaptive(0.5, 90.0), adaptive(0.9, 80.0, solver="dopri")]
    assert (best(cheap), best(dear)) == ({"rk45"}, set())


def test_best_is_the_entry_itself():
    entries = aggregate([row("a", 0.5), row("b", 0.9)])
    assert best_of(entries) is entries[0]
    assert best_of(entries[:1]) is None
    assert best_of([]) is None
