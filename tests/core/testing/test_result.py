"""Results of checks: levels, reasons, and the guard on global generators."""

import pytest
import torch

from sgmkit.errors import BadValue
from sgmkit.testing.result import (
    CheckFailed,
    Concern,
    NotApplicable,
    global_rng_untouched,
    perform,
    require,
)


def test_outcomes():
    def check_fine(component):
        return "fine"

    def check_concern(component):
        raise Concern("odd")

    def check_needless(component):
        raise NotApplicable("none")

    def check_broken(component):
        raise TypeError("a\nb")

    outcomes = [perform(c, None, "") for c in (check_fine, check_concern, check_needless)]
    assert [(x.level, x.message, x.measured) for x in outcomes] == [
        ("ok", "", "fine"),
        ("warn", "odd", ""),
        ("skip", "none", ""),
    ]
    broken = perform(check_broken, None, "")
    assert (broken.ok, broken.message) == (False, "raised TypeError: a")


def test_errors_of_sgmkit_are_shown_without_their_type():
    def check_option(component):
        raise BadValue("no such size")

    result = perform(check_option, None, "sde vp")
    assert (result.level, result.message) == ("fail", "no such size")


def test_a_requirement_fails_with_its_message():
    require(True, "fine")
    with pytest.raises(CheckFailed, match="too small"):
        require(False, "too small")


def test_the_guard_sees_a_draw_from_the_global_generator():
    with global_rng_untouched():
        torch.zeros(2)
    with pytest.raises(CheckFailed, match="global random generator"), global_rng_untouched():
        torch.rand(2)  # noqa: TID251
