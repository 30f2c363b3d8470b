"""How a report writes numbers."""

import math
import re


def number(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A value with its interval, ``0.123 ± 0.004``.

    The interval has one or two digits, and the value as many decimal places. Of an uneven interval
    the wider side is shown. A value without an interval has four significant digits, never fewer
    digits than before the point; whole numbers below a million are written in full. NaN is a dash.
    """
    half = max(high - value, value - low)
    if not math.isfinite(value):
        return "—" if math.isnan(value) else str(value)
    if not math.isfinite(half) or half <= 1e-6 * abs(value):
        return _plain(value)
    power, lead = _power(max(abs(value), half)), _power(half)
    places = (1 if half < 1.95 * 10.0**lead else 0) - lead
    if -4 < power < 6:
        return f"{_fixed(value, places)} ± {_fixed(half, places)}"
    values = (_fixed(x / 10.0**power, places + power) for x in (value, half))
    return " ± ".join(f"{x}e{power}" for x in values)


def _plain(value: float) -> str:
    """A value without an interval."""
    if value == round(value) and abs(value) < 1e6:
        return _fixed(value, 0)
    power = _power(abs(value))
    return _fixed(value, 3 - power) if -4 < power < 6 else short(f"{value:.3e}")


def _fixed(value: float, places: int) -> str:
    """With so many decimal places, never as ``-0``."""
    places = max(0, places)
    return f"{round(value, places) + 0.0:.{places}f}"  # adding zero turns -0.0 into 0.0


def _power(value: float) -> int:
    """The power of ten of its first digit."""
    return math.floor(math.log10(value))


def short(text: str) -> str:
    """The text with ``1e-05`` written as ``1e-5``."""
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].replace('+', '')}{m[2]}", text)
