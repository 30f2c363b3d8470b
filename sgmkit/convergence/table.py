"""Curves as a table in text, and as rows of JSON or CSV."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from sgmkit.benching.rows import plain
from sgmkit.convergence.curve import Curve, Point, jackknife

COLUMNS = (
    *("data", "sde", "solver", "log_snr_low", "log_snr_high", "error_kind", "method"),
    *("declared_order", "measured_order", "order_stderr"),
    *("gaussian_order", "gaussian_order_stderr", "cost", "adaptive"),
    *("budget", "steps", "nfe", "error", "stderr", "ci_low", "ci_high", "floor"),
    *("gaussian_error", "status", "reason", "notes"),
)
"""Columns of the rows: one for each point, or one with the reason for a curve without points."""
FORMAT = 1


def render(curves: Sequence[Curve], data: str) -> str:
    """A table for each SDE with a row for each solver; longer remarks are notes below."""
    notes: list[str] = []
    tables = [
        _table([curve for curve in curves if curve.sde == sde], data, notes)
        for sde in dict.fromkeys(curve.sde for curve in curves)
    ]
    numbered = "\n".join(f"[{number}] {note}" for number, note in enumerate(notes, 1))
    return "\n\n".join(filter(None, [*tables, _legend(curves), numbered])) + "\n"


def _legend(curves: Sequence[Curve]) -> str:
    kinds = {curve.method for curve in curves if curve.status == "ok"}
    lines = ["slope: minus that of log error against log NFE, last points, ± standard error"]
    lines.append("errors: ± 95 % over starts or paths")
    if "flow" in kinds:
        lines.append("strong: root mean square distance to the probability flow, in data units")
    if kinds & {"quadrature", "Monte Carlo"}:
        lines.append("weak: root mean square error of five expectations of one coordinate")
        lines.append("floor: their standard error at the most calls; an error below it is chance")
    if "Gaussian" in kinds or any(curve.gaussian for curve in curves):
        lines.append(
            "Gaussian: of mean and variance of Gaussian data, in their spread; free of chance"
        )
    return "\n".join(lines)


def _table(curves: Sequence[Curve], data: str, notes: list[str]) -> str:
    budgets = sorted({p.budget for c in curves if not c.adaptive for p in c.points})
    header = ["solver", "error", "declared", "slope"]
    header += ["Gaussian", "floor"] if any(c.kind == "weak" for c in curves) else []
    rows = [[*_facts(c, len(header)), *_errors(c, budgets)] for c in curves]
    for row, curve in zip(rows, curves, strict=True):
        for note in _notes(curve):
            notes += [note] if note not in notes else []
            row[1] += f" [{notes.index(note) + 1}]"
    header += [f"NFE {budget:g}" for budget in budgets]
    low, high = curves[0].log_snr
    title = f"{data} · {curves[0].sde} · equal steps in log-SNR {low:.3g} to {high:.3g}"
    return f"{title}\n{aligned([header, *rows])}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first two aligned to the left; a line under the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<", "<", *[">"] * (len(widths) - 2)]
    lines = ["  ".join(map("{:{}{}}".format, row, sides, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _facts(curve: Curve, columns: int) -> list[str]:
    if curve.status != "ok":
        return [curve.solver, curve.status, str(curve.order), *[""] * (columns - 3)]
    kind = curve.method if curve.method == "Gaussian" else curve.kind
    facts = [curve.solver, kind, str(curve.order), _slope(curve.slope())]
    if columns == 4:
        return facts
    floor = curve.points[-1].floor
    gaussian = _slope(curve.gaussian_slope()) if curve.gaussian else ""
    return [*facts, gaussian, "" if math.isnan(floor) else f"{floor:.0e}"]


def _slope(slope: tuple[float, float]) -> str:
    value, stderr = slope
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" + ("" if math.isnan(stderr) else f" ± {stderr:.2f}")


def _errors(curve: Curve, budgets: Sequence[float]) -> list[str]:
    if curve.adaptive:
        return [""] * len(budgets)
    points = {point.budget: point for point in curve.points}
    return [_error(points[b]) if b in points else "" for b in budgets]


def _error(point: Point) -> str:
    half = "" if math.isnan(point.half) else f" ± {point.half:.0e}"
    return f"{point.error:.1e}{half}"


def _notes(curve: Curve) -> list[str]:
    """Remarks that do not fit into the columns of a row."""
    if curve.status != "ok":
        return [curve.reason]
    notes = list(curve.notes)
    if curve.adaptive:
        errors = "; ".join(f"{_error(p)} at {p.nfe:.0f} ({p.budget:g})" for p in curve.points)
        power = curve.power()
        falls = "" if math.isnan(power) else f"; falls as tolerance to the {power:.1f}"
        notes.append(f"{curve.solver} on {curve.sde}, error at NFE (tolerance): {errors}{falls}")
    if math.isnan(curve.slope()[0]):
        notes.append("no slope: fewer than two errors above rounding and chance, at unlike NFE")
    return notes


def records(curves: Sequence[Curve], data: str) -> list[dict[str, Any]]:
    """A row with `COLUMNS` for each point, in plain values; NaN where there is none."""
    rows = []
    for curve in curves:
        (order, stderr), (gaussian_order, gaussian_stderr) = curve.slope(), curve.gaussian_slope()
        common: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)
        common |= {"data": data, "sde": curve.sde, "solver": curve.solver}
        common |= dict(zip(("log_snr_low", "log_snr_high"), curve.log_snr, strict=True))
        common |= {"error_kind": curve.kind, "method": curve.method, "cost": curve.cost}
        common |= {"declared_order": curve.order, "measured_order": order, "order_stderr": stderr}
        common |= {"gaussian_order": gaussian_order}
        common |= {"gaussian_order_stderr": gaussian_stderr}
        common |= {"adaptive": curve.adaptive, "notes": "; ".join(curve.notes)}
        common |= {"status": curve.status, "reason": curve.reason}
        gaussian = {point.budget: point.error for point in curve.gaussian}
        points = [_numbers(point, gaussian.get(point.budget)) for point in curve.points]
        rows += [common | numbers for numbers in points or [{}]]
    return rows


def _numbers(point: Point, gaussian: float | None) -> dict[str, Any]:
    names = ("budget", "steps", "nfe", "error", "floor")
    numbers: dict[str, Any] = {name: getattr(point, name) for name in names}
    numbers["stderr"] = jackknife(point.leave_one_out) if point.leave_one_out else math.nan
    numbers["ci_low"] = max(point.error - point.half, 0.0) if point.leave_one_out else math.nan
    numbers["ci_high"] = point.error + point.half
    return numbers | ({} if gaussian is None else {"gaussian_error": gaussian})


def to_json(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as JSON; NaN is null and infinities are text."""
    values = [{name: plain(row[name]) for name in COLUMNS} for row in rows]
    text = json.dumps({"format": FORMAT, "rows": values}, indent=1, allow_nan=False)
    return f"{text}\n".encode()


def to_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV; NaN is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = {name: plain(row[name]) for name in COLUMNS}
        writer.writerow({name: "" if value is None else value for name, value in values.items()})
    return out.getvalue().encode()
