"""Kinds and components: each kind has a public base class; a component is plain data."""

import importlib
import inspect

import pytest

import sgmkit
from sgmkit.registry.hookspecs import KINDS, Component, sgmkit_components


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_class_of_a_kind_is_public(kind):
    module, _, name = KINDS[kind].partition(":")
    base = getattr(importlib.import_module(module), name)
    assert inspect.isabstract(base)
    assert getattr(sgmkit, name) is base


def test_components_are_equal_by_what_they_say():
    one, other = (Component("sde", "vp", "a:B", "") for _ in range(2))
    assert one == other
    assert (one.aliases, one.extra) == ((), "")


def test_the_specification_of_the_hook_offers_nothing():
    assert tuple(sgmkit_components()) == ()
