"""Rows: their order, and their records in a file."""

import itertools
import math

import pytest

from sgmkit.benching.rows import COLUMNS, Row, from_record, in_order, to_record


def test_rows_are_sorted_as_pandas_sorts_them():
    import pandas as pd

    values = {
        "data": ("", "b", "B", "ä"),
        "t_min": (math.nan, 1e-3, 0.0),
        "n": (None, 20, 3),
        "nfe": (50.0, math.nan),
    }
    rows = [
        Row(metric="x", **dict(zip(values, each, strict=True)))
        for each in itertools.product(*values.values())
    ]
    frame = pd.DataFrame([[getattr(row, name) for name in values] for row in rows])
    frame = frame.astype({0: str, 2: "Int64"})
    order = frame.sort_values(by=[0, 1, 2, 3]).index
    assert in_order(rows[::-1]) == in_order(rows)
    assert [repr(row) for row in in_order(rows)] == [repr(rows[i]) for i in order]


def test_of_two_rows_of_one_cell_the_first_stays():
    first = Row(metric="x", value=1.0, nfe=4.0, seed=0, hash="ab12")
    second = Row(metric="x", value=2.0, nfe=5.0, seed=0, hash="ab12")
    assert in_order([first, second]) == [first]
    assert in_order([second, first]) == [second]
    # Rows that no bench made have no hash: none of them is the same as another.
    by_hand = Row(metric="x", value=1.0)
    assert in_order([by_hand, by_hand]) == [by_hand, by_hand]


def test_a_record_reads_back_as_the_row():
    row = Row(metric="x", value=-math.inf, ci_low=math.nan, steps=4, reason="γ")
    record = to_record(row)
    assert tuple(record) == COLUMNS
    assert (record["value"], record["ci_low"]) == ("-inf", None)
    assert repr(from_record(record)) == repr(row)
    assert from_record({"metric": "x", "colour": "red"}) == Row(metric="x")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"metric": 3}, "metric is 3"),
        ({"metric": "x", "seed": True}, "seed is True"),
        ({"metric": "x", "seed": 1.5}, "seed is 1.5"),
        ({}, "metric"),
    ],
)
def test_a_record_of_wrong_types_is_refused(record, text):
    with pytest.raises(TypeError, match=text):
        from_record(record)
