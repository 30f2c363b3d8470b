"""Which entries share a table."""

import pytest
from support.report_rows import adaptive, floor, row, tables_of, texts

from sgmkit.report.grouping import agreed, axis, group_entries, is_cost
from sgmkit.report.summary import aggregate


@pytest.mark.parametrize(
    ("name", "other"),
    [("grid", "edm"), ("t_min", 1e-5), ("last", "mean"), ("start", "exact"), ("n", 500)],
)
def test_another_protocol_is_another_table(name, other):
    rows = [row("euler", 0.5), row("euler", 0.6, **{name: other}), adaptive(0.3, 80.0)]
    tables = tables_of(rows)
    assert len(tables) == 2
    assert all("euler" in texts(table) for table in tables)
    # An adaptive solver has no grid, so it stands in the tables of both; else only in its own.
    assert sum("rk45" in texts(table) for table in tables) == (2 if name == "grid" else 1)


def test_what_a_group_agrees_on_in_words():
    entries = aggregate([row("euler", 0.5), row("heun", 0.4, n=500), adaptive(0.3, 80.0)])
    assert agreed(entries, ["grid", "t_min", "n", "sde"]) == ["uniform grid", "t_min 0.001", "cld"]
    assert [axis(entry, "grid") for entry in entries] == ["uniform", "uniform", ""]


def test_a_cost_repeats_what_was_measured():
    assert is_cost(aggregate([row("euler", 50.0, nfe=50.0)]))
    assert not is_cost(aggregate([row("euler", 50.0, nfe=49.0)]))
    assert not is_cost([])


def test_a_floor_belongs_to_every_group_on_its_data():
    rows = [row("euler", 0.5), row("euler", 0.5, sde="vp"), floor(0.1), row("a", 0.5, data="x")]
    groups = group_entries(aggregate(rows))
    assert sorted(len(group) for group in groups) == [1, 2, 2]
