"""Curves as a table, and as rows of JSON and CSV."""

import csv
import io
import json
import math

from sgmkit.convergence.curve import Curve, Point
from sgmkit.convergence.table import COLUMNS, records, render, to_csv, to_json

POINTS = [Point(n, n, n, 3.0 * n**-2.0) for n in (8, 16, 32)]
MEASURED = Curve("heun", "vp", "strong", 2, 2, False, "flow", (-3.0, 4.0), POINTS)
REFUSED = Curve("ssem", "vp", "weak", 1, 1, False, status="n/a", reason="no clock")


def test_the_table_has_a_row_for_each_solver_and_notes_for_reasons():
    lines = render([MEASURED, REFUSED], "blobs").splitlines()
    assert lines[0] == "blobs · vp · equal steps in log-SNR -3 to 4"
    assert lines[3].split() == ["heun", "strong", "2", "2.00", "±", "0.00"] + [
        f"{point.error:.1e}" for point in POINTS
    ]
    assert lines[4].split()[:3] == ["ssem", "n/a", "[1]"]
    assert lines[-1] == "[1] no clock"


def test_rows_hold_every_point_and_reason_once():
    rows = records([MEASURED, REFUSED], "blobs")
    assert [row["budget"] for row in rows[:3]] == [8, 16, 32]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert (rows[3]["status"], rows[3]["reason"]) == ("n/a", "no clock")
    assert math.isnan(rows[3]["error"])
    assert abs(rows[0]["measured_order"] - 2) < 1e-9


def test_json_has_null_and_csv_nothing_for_nan():
    rows = records([REFUSED], "blobs")
    (row,) = json.loads(to_json(rows))["rows"]
    assert (row["error"], row["reason"]) == (None, "no clock")
    (line,) = csv.DictReader(io.StringIO(to_csv(rows).decode()))
    assert (line["error"], line["solver"]) == ("", "ssem")
