"""Readers of option values: what they take, and the one complaint of each."""

import pytest

from sgmkit.cli import values
from sgmkit.errors import BadValue


def refusal(reader, text):
    with pytest.raises(values.NotAccepted) as caught:
        reader(text)
    return caught.value.format_message()


def test_numbers():
    assert values.whole_number(0)("0") == 0
    assert values.whole_number(1)(50) == 50  # a default passes through
    assert values.positive_number("1e-3") == 1e-3
    assert values.whole_numbers("10,20") == (10, 20)
    assert values.positive_numbers("1e-2, 0.5") == (0.01, 0.5)


@pytest.mark.parametrize("text", ["x", "0", "-1", "2.5", "", "inf", "nan"])
def test_what_is_no_whole_number(text):
    assert refusal(values.whole_number(1), text) == (
        f"this option takes a whole number of at least 1; {text!r} is not one"
    )


@pytest.mark.parametrize("text", ["x", "0", "-1", "", "inf", "nan"])
def test_what_is_no_positive_number(text):
    assert refusal(values.positive_number, text) == (
        f"this option takes a positive number; {text!r} is not one"
    )


def test_the_item_of_a_list_that_is_wrong_is_named():
    expected = "this option takes whole numbers of at least 1, separated by commas; 'x' is not one"
    assert refusal(values.whole_numbers, "5,x") == expected


def test_choices():
    read = values.choice("mean", "none", "all")
    assert read("none") == "none"
    assert refusal(read, "meen") == (
        "this option takes mean, none or all, not 'meen'; did you mean 'mean'?"
    )
    values.check_choice("--kind", "sde", ("sde",))
    with pytest.raises(BadValue) as caught:
        values.check_choice("--kind", "zzz", ("sde",))
    assert str(caught.value) == "--kind takes sde, not 'zzz'"
