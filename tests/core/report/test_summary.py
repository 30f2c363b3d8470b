"""Rows of several seeds become one entry with a mean and an interval."""

import pytest
from scipy import stats
from support.report_rows import blank, row

from sgmkit.report.summary import aggregate, student_t


@pytest.mark.parametrize("freedom", [*range(1, 31), 100, 1000])
def test_student_t_against_scipy(freedom):
    assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_seeds_become_a_mean_with_a_student_interval():
    values = [0.3, 0.5, 0.4, 0.7]
    rows = [row("euler", v, seed=s) for s, v in enumerate(values)]
    (mean,) = aggregate(rows)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean.value == pytest.approx(0.475)
    assert (mean.ci_low, mean.ci_high) == pytest.approx((expected.low, expected.high))
    assert (mean.seeds, mean.missing) == (4, 0)


def test_one_seed_keeps_its_own_interval():
    (mean,) = aggregate([row("euler", 0.5, half=0.02)])
    assert (mean.value, mean.ci_low, mean.ci_high, mean.seeds) == (0.5, 0.48, 0.52, 1)


def test_one_seed_measured_twice_is_one_seed():
    rows = [row("euler", 0.5, hash="a"), row("euler", 0.6, hash="b")]
    assert [entry.seeds for entry in aggregate(rows)] == [1]


def test_a_failed_seed_is_counted_and_its_reason_kept():
    rows = [row("euler", 0.5, n=900), row("euler", 0.6, n=900, seed=1)]
    rows.append(blank("euler", "failed", "boom", n=1000, seed=2))
    (mean,) = aggregate(rows)
    assert (mean.seeds, mean.missing, mean.n) == (2, 1, 900)
    assert (mean.status, mean.reason) == ("ok", "1 of 3 seeds failed: boom")
    rows = [blank("euler", "n/a", "no clock", seed=s) for s in (0, 1)]
    (mean,) = aggregate(rows)
    assert (mean.status, mean.reason, mean.seeds) == ("n/a", "no clock", 0)
