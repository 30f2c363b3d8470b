"""Hashes that name cells and weights."""

import math
import re

import pytest
import torch
from support.report_rows import message

from sgmkit._util.hashing import describe_hash, fingerprint
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


def test_fingerprint_depends_on_names_types_shapes_and_bytes():
    state = {"a": torch.arange(6.0), "b": torch.ones(2, dtype=torch.int64)}
    base = fingerprint(state)
    assert fingerprint(dict(reversed(state.items()))) == base
    for change in (
        {"a": torch.arange(6.0).view(2, 3)},
        {"a": torch.arange(6.0).double()},
        {"a": -torch.arange(6.0)},
    ):
        assert fingerprint(state | change) != base
    assert fingerprint({"c": state["a"], "b": state["b"]}) != base
