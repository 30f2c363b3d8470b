"""How numbers are written."""

import math

import pytest

from sgmkit.report.numbers import number


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (0.1234, 0.004, "0.123 ± 0.004"),
        (0.1234, 0.0012, "0.1234 ± 0.0012"),
        (1.5, 0.1, "1.50 ± 0.10"),
        (12345.6, 654.0, "12346 ± 654"),
        (3.24e-6, 2e-7, "3.2e-6 ± 0.2e-6"),
        (-1e-9, 0.1, "0.00 ± 0.10"),
        (0.0, 0.003, "0.000 ± 0.003"),
        (50.0, 0.0, "50"),
        (86.3, math.nan, "86.30"),
        (1.23456e-5, math.nan, "1.235e-5"),
        (math.nan, math.nan, "—"),
    ],
)
def test_digits_follow_the_interval(value, half, text):
    assert number(value, value - half, value + half) == text
