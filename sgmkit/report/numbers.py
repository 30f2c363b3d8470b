"""How a report writes numbers."""

import math
import re


def number(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """``0.123 ± 0.004``: as many digits as the interval allows, one or two of the interval itself.

    The wider side of an uneven interval is shown. Without an interval: four digits.
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
    if value == round(value) and abs(value) < 1e6:
        return _fixed(value, 0)
    power = _power(abs(value))
    return _fixed(value, 3 - power) if -4 < power < 6 else short(f"{value:.3e}")


def _fixed(value: float, places: int) -> str:
    places = max(0, places)
    return f"{round(value, places) + 0.0:.{places}f}"  # adding zero turns -0.0 into 0.0


def _power(value: float) -> int:
    return math.floor(math.log10(value))


def short(text: str) -> str:
    """``1e-05`` as ``1e-5``."""
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].replace('+', '')}{m[2]}", text)
