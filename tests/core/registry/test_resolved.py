"""Resolved components: described, labelled, with versions, built; whole messages."""

import json

import pytest
from conftest import KINDS
from support.throwaway import hook

from sgmkit.errors import BadValue
from sgmkit.registry import Registry
from sgmkit.registry.options import parse


def test_equal_components_have_equal_descriptions(good):
    description = {"name": "tw_good/heun", "churn": 0.5, "last": "euler", "s_max": "Infinity"}
    for spec, options in [
        ("heun:churn=0.5", {}),
        ("tw_good/edm-heun:last=euler:churn=5e-1", {}),
        ({"churn": "0.5", "name": "edm-heun"}, {}),
        ({"name": "heun:churn=3", "churn": 0.5}, {}),
        ("heun:churn=4", {"churn": 0.5}),
        ("heun", {"s_max": "inf", "churn": 0.5}),
        (description, {}),
    ]:
        resolved = good.resolve("solver", spec, **options)
        assert resolved == good.resolve("solver", "heun:churn=0.5")
        assert resolved.describe() == description
        assert json.dumps(resolved.describe(), allow_nan=False) == json.dumps(description)
        assert resolved.versions() == {"tw_good": "2.3"}
        assert (resolved.label, resolved.changes, str(resolved)) == (
            "heun:churn=0.5",
            "churn=0.5",
            resolved.label,
        )
    assert good.resolve("solver", resolved, churn=0).label == "heun"
    assert good.resolve("solver", resolved, churn=0).changes == ""


def test_build(good):
    heun = good.resolve("solver", "heun:churn=0.5").build()
    assert (type(heun).__name__, heun.churn, heun.last) == ("Heun", 0.5, "euler")
    assert good.create("solver", "heun", churn="0.5") == heun
    assert good.create("solver", "edm-heun:churn=0.5") == heun


def test_components_inside_components(good):
    exact = good.resolve("model", "exact:sde=(vp:beta=5)", backup={"name": "cld", "levels": [3]})
    assert exact.describe() == {
        "name": "tw_good/exact",
        "backup": {"name": "tw_good/cld", "levels": [3]},
        "k": 1,
        "sde": {"name": "tw_good/vp", "beta": 5.0},
    }
    assert list(exact.describe()) == ["name", "backup", "k", "sde"]
    assert exact.label == "exact:backup=(cld:levels=(3,)):sde=(vp:beta=5)"
    assert good.resolve("model", exact.label) == exact
    assert good.resolve("model", parse(exact.label)[0], **parse(exact.label)[1]) == exact
    assert good.resolve("model", exact.describe()) == exact
    assert good.resolve("model", "exact", sde=good.resolve("sde", "vp")).label == "exact:sde=vp"
    assert exact.supplied == ("event",)
    built = exact.build(event=(2,), unused=1)
    assert (built.event, built.sde.beta, built.backup.levels, built.k) == ((2,), 5.0, (3,), 1)
    assert good.create("model", "exact", sde="vp:beta=5", event=(2,)).sde == built.sde
    assert good.create("model", "exact", sde="vp", backup="none", event=(2,)).backup is None


def test_components_may_be_instances(good):
    sde = good.create("sde", "vp", beta=3)
    assert good.create("model", "exact", sde=sde, event=(2,)).sde is sde
    exact = good.resolve("model", "exact", sde=sde)
    assert exact.label == "exact:sde=Vp"
    with pytest.raises(BadValue) as caught:
        exact.describe()
    assert str(caught.value) == (
        "option 'sde' of model 'exact' is an instance, which has no description: give it by name"
    )


def test_versions_of_every_distribution_involved(install, good):
    install(
        "tw-more",
        {"tw_more": hook('"sde", "mine", "tw_good.parts:Vp", ""')},
        {"tw_more": "tw_more"},
        version="0.7",
    )
    exact = Registry(KINDS).resolve("model", "exact:sde=mine")
    assert exact.versions() == {"tw-more": "0.7", "tw_good": "2.3"}
