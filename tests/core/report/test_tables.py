"""Numbers, what is best, and tables: what a report says."""

import math
import re

import pytest
from scipy import stats
from support.report_rows import adaptive, best, blank, floor, only, row, texts

from sgmkit.benching.results import to_frame
from sgmkit.report import aggregate, pivots
from sgmkit.report.summary import number, student_t


@pytest.mark.parametrize("freedom", [*range(1, 31), 100, 1000])
def test_student_t_against_scipy(freedom):
    assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=2e-5)


def test_seeds_become_a_mean_with_a_student_interval():
    values = [0.3, 0.5, 0.4, 0.7]
    frame = to_frame([row("euler", v, seed=s) for s, v in enumerate(values)])
    (mean,) = aggregate(frame).to_dict("records")
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean["value"] == pytest.approx(0.475)
    assert (mean["ci_low"], mean["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert (mean["seeds"], mean["missing"]) == (4, 0)


def test_one_seed_keeps_its_own_interval():
    (mean,) = aggregate(to_frame([row("euler", 0.5, half=0.02)])).to_dict("records")
    assert (mean["value"], mean["ci_low"], mean["ci_high"], mean["seeds"]) == (0.5, 0.48, 0.52, 1)


def test_one_seed_measured_twice_is_one_seed():
    rows = [row("euler", 0.5, hash="a"), row("euler", 0.6, hash="b")]
    assert list(aggregate(to_frame(rows))["seeds"]) == [1]


def test_a_failed_seed_is_counted_and_its_reason_kept():
    rows = [row("euler", 0.5, n=900), row("euler", 0.6, n=900, seed=1)]
    rows.append(blank("euler", "failed", "boom", n=1000, seed=2))
    (mean,) = aggregate(to_frame(rows)).to_dict("records")
    assert (mean["seeds"], mean["missing"], mean["n"]) == (2, 1, 900)
    assert (mean["status"], mean["reason"]) == ("ok", "1 of 3 seeds failed: boom")
    rows = [blank("euler", "n/a", "no clock", seed=s) for s in (0, 1)]
    (mean,) = aggregate(to_frame(rows)).to_dict("records")
    assert (mean["status"], mean["reason"], mean["seeds"]) == ("n/a", "no clock", 0)


def test_infinite_value_is_shown_and_never_best():
    rows = [row("euler", math.inf, seed=s) for s in (0, 1)]
    rows += [row("heun", 0.5 + s / 1000, seed=s) for s in (0, 1)]
    assert texts(only(rows))["euler"] == ["inf"]
    assert best(rows) == {"heun"}


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


@pytest.mark.parametrize(
    ("better", "gap", "marked"),
    [
        ("lower", 0.021, {"low"}),
        ("lower", 0.019, set()),
        ("higher", 0.021, {"high"}),
        ("higher", 0.019, set()),
        ("", 0.021, set()),
    ],
)
def test_best_only_where_intervals_separate(better, gap, marked):
    rows = [row("low", 0.5, better=better), row("high", 0.5 + gap, better=better)]
    assert best(rows) == marked


def test_best_separates_from_every_other():
    rows = [row("a", 0.5), row("b", 0.6), row("c", 0.7)]
    assert best(rows) == {"a"}
    assert best([*rows, row("d", 0.7, half=0.25)]) == set()


def test_best_needs_a_rival_an_interval_and_all_seeds():
    assert best([row("a", 0.5)]) == set()
    assert best([row("a", 0.5), blank("b", "failed", "boom")]) == set()
    assert best([row("a", 0.5, half=math.nan), row("b", 0.9)]) == set()
    assert best([row("a", 0.5), row("b", 0.9, half=math.nan)]) == set()
    rows = [row(s, v + i / 1000, seed=i) for s, v in (("a", 0.5), ("b", 0.9)) for i in (0, 1)]
    assert best(rows) == {"a"}
    assert best([*rows, blank("a", "failed", "boom", seed=2)]) == set()


def test_best_is_found_column_by_column():
    rows = [row("a", 0.5, nfe=20), row("b", 0.9, nfe=20), row("a", 0.5), row("b", 0.1)]
    marks = {line.label.text: [c.best for c in line.cells] for line in only(rows).lines}
    assert marks == {"a": [True, False], "b": [False, True]}


def test_best_of_a_tolerance_must_not_have_spent_more():
    cheap = [adaptive(0.5, 80.0), adaptive(0.9, 90.0, solver="dopri")]
    dear = [adaptive(0.5, 90.0), adaptive(0.9, 80.0, solver="dopri")]
    assert (best(cheap), best(dear)) == ({"rk45"}, set())


def test_published_values_are_marked_and_are_no_rivals():
    published = row(
        "euler", 0.1, source="published", n=50000, reason="Song 2021", grid="", seed=None
    )
    table = only([row("a", 0.5), row("b", 0.9), published])
    assert texts(table)["euler (published)"] == ["0.100 ± 0.010"]
    assert table.lines[-1].kind == "published"
    assert table.notes == ("published · n 50000 · Song 2021",)
    assert best([row("a", 0.5), row("b", 0.9), published]) == {"a"}


def test_columns_are_sorted_by_nfe_and_adaptive_solvers_take_their_place():
    rows = [row("euler", 0.5, nfe=n) for n in (100, 20, 50)]
    table = only([*rows, adaptive(0.3, 86.4), floor(0.2)])
    assert table.header == ("solver", "NFE 20", "NFE 50", "tol 0.001 (NFE 86)", "NFE 100")
    assert texts(table) == {
        "euler": ["0.500 ± 0.010", "0.500 ± 0.010", "", "0.500 ± 0.010"],
        "rk45": ["", "", "0.300 ± 0.010", ""],
        "floor": ["0.20 ± 0.02"] * 4,
    }
    assert table.lines[-1].kind == "floor"


def test_title_says_direction_and_unit_and_caption_the_protocol():
    table = only([row("euler", 0.5)])
    assert table.title == "blobs · exact · cld · energy ↓ [nats]"
    assert table.caption == (
        "one seed ± 95 % interval · uniform grid · t_min 0.001 · last step none · start prior · "
        "n 1000"
    )
    # Who has no value states the protocol as well, where those who have do not.
    assert only([adaptive(0.5, 80.0), blank("euler", "n/a", "no", n=500)]).caption == table.caption
    assert only([row("euler", 0.5, better="higher", unit="")]).title.endswith("· energy ↑")


@pytest.mark.parametrize(
    ("name", "other"),
    [("grid", "edm"), ("t_min", 1e-5), ("last", "mean"), ("start", "exact"), ("n", 500)],
)
def test_another_protocol_is_another_table(name, other):
    rows = [row("euler", 0.5), row("euler", 0.6, **{name: other}), adaptive(0.3, 80.0)]
    tables = pivots(to_frame(rows))
    assert len(tables) == 2
    assert all("euler" in texts(table) for table in tables)
    # An adaptive solver has no grid, so it stands in the tables of both; else only in its own.
    assert sum("rk45" in texts(table) for table in tables) == (2 if name == "grid" else 1)


def test_tables_are_in_the_order_of_numbers():
    tables = pivots(to_frame([row("euler", 0.5, n=n) for n in (1000, 500, 20)]))
    assert [re.search(r"· n (\d+)", table.caption)[1] for table in tables] == ["20", "500", "1000"]


def test_options_are_shown_as_on_the_command_line():
    assert set(texts(only([row("heun", 0.5), row("heun", 0.4, options="churn=0.5")]))) == {
        "heun",
        "heun:churn=0.5",
    }


def test_floor_where_data_is_finite_says_its_n():
    table = only([row("euler", 0.5), floor(0.2, n=450), floor(0.3, n=200)])
    assert texts(table)["floor (n 450)"] == ["0.20 ± 0.02"]


def test_no_number_is_shown_with_its_reason():
    rows = [row("euler", 0.5), row("euler", 0.5, nfe=20)]
    rows += [blank("ssem", "n/a", "no clock"), blank("heun", "failed", "boom")]
    rows += [blank("ssem", "n/a", "no clock", budget="nfe=20"), blank("ddim", "n/a", "no clock")]
    table = only(rows)
    cells = {line.label.text: line.cells for line in table.lines}
    assert [cell.text for cell in cells["ssem"]] == ["n/a", "n/a"]
    assert [cell.text for cell in cells["heun"]] == ["", "failed"]
    assert [table.notes[i - 1] for i in cells["heun"][1].notes] == ["boom"]
    assert [table.notes[i - 1] for i in cells["ddim"][1].notes] == ["no clock"]
    assert sorted(table.notes) == ["boom", "no clock"]  # one note for one reason


def test_spent_evaluations_are_told_where_the_column_says_another_number():
    rows = [row("euler", 0.5), row("heun", 0.4, nfe=49.0, budget="nfe=50")]
    rows += [row("rk3", 0.3, nfe=48.0)]
    table = only(rows)
    assert table.header == ("solver", "NFE 50")
    assert table.notes == (
        "spent 49 evaluations under NFE 50",
        "spent 48 evaluations under NFE 50",
    )
    # Budgets that a solver was given on purpose stay apart.
    assert len(only([*rows, row("rk3", 0.3)]).header) == 3


def test_models_are_one_table_of_metrics():
    def fact(sde, metric, value, **changes):
        none = {"grid": "", "last": "", "start": "", "budget": "", "seed": None}
        return row(
            "", value, nfe=math.nan, scope="model", sde=sde, metric=metric, **none, **changes
        )

    rows = [fact("vp", "nll", 2.0), fact("cld", "nll", 2.5), fact("vp", "gap", 0.1, better="")]
    table = only(rows)
    assert table.title == "blobs · models"
    assert table.header == ("model", "gap [nats]", "nll ↓ [nats]")
    assert texts(table) == {
        "exact · cld": ["", "2.500 ± 0.010"],
        "exact · vp": ["0.100 ± 0.010", "2.000 ± 0.010"],
    }
    assert [[c.best for c in line.cells] for line in table.lines] == [[False] * 2, [False, True]]


def test_models_have_no_column_that_is_n_a_throughout():
    none = {"grid": "", "last": "", "start": "", "budget": "", "seed": None}
    common = {"nfe": math.nan, "scope": "model", **none}

    def fact(sde, metric, status):
        value = 2.0 if status == "ok" else math.nan
        why = "" if status == "ok" else "only an exact model knows it"
        return row("", value, sde=sde, metric=metric, status=status, reason=why, **common)

    rows = [fact(sde, "nll", "ok") for sde in ("vp", "cld")]
    unknown = [fact(sde, "gap", "n/a") for sde in ("vp", "cld")]
    assert only([*rows, *unknown]).header == ("model", "nll ↓ [nats]")
    assert only(unknown).header == ("model", "gap ↓ [nats]")
    partly = [fact("vp", "gap", "ok"), fact("cld", "gap", "n/a")]
    assert only([*rows, *partly]).header == ("model", "gap ↓ [nats]", "nll ↓ [nats]")
    broken = [fact("vp", "gap", "failed")]
    assert only([*rows, *broken]).header == ("model", "gap ↓ [nats]", "nll ↓ [nats]")


def test_metrics_with_a_floor_come_first_and_costs_last():
    rows = [row("euler", 0.5, metric="z"), row("euler", 0.5, metric="b"), floor(0.1)]
    rows += [row("euler", 50.0, metric="a"), row("euler", 0.5), floor(0.1)]
    rows += [row("euler", 0.1, metric="aa", seconds_per_sample=0.1)]
    metrics = [re.search(r"· (\w+) ↓", table.title)[1] for table in pivots(to_frame(rows))]
    assert metrics == ["energy", "b", "z", "a", "aa"]
