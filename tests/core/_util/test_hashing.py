"""Hashes that name cells."""

import math
import re

import pytest
from support.report_rows import message

from sgmkit._util.hashing import describe_hash
from sgmkit.errors import BadValue

CELL = {"sde": {"name": "cld", "gamma": 0.04}, "steps": 50, "seed": 0}


def test_hash_does_not_depend_on_the_order_of_keys():
    shuffled = {"seed": 0, "steps": 50, "sde": {"gamma": 0.04, "name": "cld"}}
    assert describe_hash(CELL) == describe_hash(shuffled)
    assert re.fullmatch(r"[0-9a-f]{16}", describe_hash(CELL))


@pytest.mark.parametrize(
    "other",
    [
        {**CELL, "seed": 1},
        {**CELL, "sde": {"name": "cld", "gamma": 0.04000000000000001}},
        {**CELL, "extra": None},
    ],
)
def test_hash_tells_descriptions_apart(other):
    assert describe_hash(other) != describe_hash(CELL)


def test_hash_is_the_same_in_every_version():
    # SHA-256 of {"a":0.1,"b":[1,2]}, computed with sha256sum: changing it loses users' results.
    assert describe_hash({"b": [1, 2], "a": 0.1}) == "deb925af18b3be3b"


@pytest.mark.parametrize("bad", [math.nan, math.inf, [0.1, math.nan]])
def test_hash_refuses_what_is_not_finite(bad):
    with pytest.raises(BadValue) as error:
        describe_hash({"steps": 50, "t_min": bad})
    assert message(error) == f"t_min of a cell must be finite, got {bad!r}"
