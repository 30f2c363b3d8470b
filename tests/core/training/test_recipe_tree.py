"""Edits of a recipe's tables."""

import pytest

from sgmkit.errors import BadValue
from sgmkit.training import recipe_tree as tree


def test_edits_make_the_tables_that_they_need():
    tables = {"model": "sgm:prediction=v"}
    tree.apply_edit(tables, "model.network.width = 8")
    tree.apply_edit(tables, "seed=3")
    assert tables == {
        "model": {"name": "sgm", "prediction": "v", "network": {"width": "8"}},
        "seed": "3",
    }
    with pytest.raises(BadValue, match="'seed' is no table that --set could reach into"):
        tree.apply_edit({"seed": 3}, "seed.x=1")


def test_the_same_component_keeps_its_options_and_another_begins_anew():
    tables = {"sde": {"name": "sdes/vp", "beta_max": 10}}
    tree.choose(tables, "sde", "sde", "vp:beta_min=0.2")
    assert tables["sde"] == {"name": "vp", "beta_max": 10, "beta_min": "0.2"}
    tree.choose(tables, "sde", "sde", "")
    assert tables["sde"]["beta_max"] == 10
    tree.choose(tables, "sde", "sde", "cld")
    assert tables["sde"] == {"name": "cld"}


def test_a_copy_is_deep():
    tables = {"train": {"lr": 1}, "seed": 0}
    copy = tree.copied(tables)
    copy["train"]["lr"] = 2
    assert tables["train"] == {"lr": 1}


def test_none_is_written_as_a_text():
    assert tree.without_none({"a": {"b": None}, "c": 0}) == {"a": {"b": "none"}, "c": 0}
