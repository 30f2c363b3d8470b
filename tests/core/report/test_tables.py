"""Tables: columns, lines, notes, captions and their order."""

import math
import re

from support.report_rows import adaptive, best, blank, floor, only, row, tables_of, texts


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


def test_tables_are_in_the_order_of_numbers():
    tables = tables_of([row("euler", 0.5, n=n) for n in (1000, 500, 20)])
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


def test_spent_evaluations_are_shown_where_the_column_says_another_number():
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
    metrics = [re.search(r"· (\w+) ↓", table.title)[1] for table in tables_of(rows)]
    assert metrics == ["energy", "b", "z", "a", "aa"]
