"""The bench itself: it computes what is missing, writes a file as each cell ends, nothing twice.

Components that do not go together give a row with the reason; a component that raises gives a row
with its error in one line. A bench that was killed goes on where it stopped.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgmkit.benching.cells import Job, Schedule, jobs_of
from sgmkit.benching.failures import in_full, one_line
from sgmkit.benching.labels import add_versions, metrics_of
from sgmkit.benching.plan import Plan
from sgmkit.benching.rows import Row
from sgmkit.benching.store import Store
from sgmkit.benching.subject import Subject
from sgmkit.errors import Incompatible, UserError, last_line
from sgmkit.evaluation import Context, Metric, Value
from sgmkit.registry import Resolved

Watch = Callable[[int, int, str], None]
"""Called before each job and after the last one: jobs done, jobs in all, and what comes next."""


@dataclass
class Failure:
    """One way in which jobs failed.

    Args:
        traceback: of the first of them; empty where no exception was raised.
        labels: the jobs.
    """

    traceback: str
    labels: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What became of the jobs: how many were computed, how many were stored already, how
    many had components that do not go together, and how many failed.

    Args:
        failures: the failures by their reason.
    """

    computed: int = 0
    stored: int = 0
    inapplicable: int = 0
    failed: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)


@dataclass
class Outcome:
    """The rows of a job, and the tracebacks behind their reasons.

    Args:
        rows: one for each metric.
        tracebacks: by reason; a reason that no exception gave has none.
    """

    rows: list[Row]
    tracebacks: dict[str, str] = field(default_factory=dict)


def run(plan: Plan, store: Store, watch: Watch, tally: Tally, fresh: bool = False) -> None:
    """Compute what is missing in ``store`` and count it in ``tally``, one subject after the other.

    Args:
        plan: what to compare.
        store: where the rows go.
        watch: called as the bench goes on.
        tally: what has become of the jobs so far, also where this is interrupted.
        fresh: compute again what is there. A description names components and options, not
            their code: this is for those who edit a component.

    Raises:
        UserError: before any work, where results cannot be written or a component cannot be
            built; later, where a model cannot be loaded.
    """
    store.check_writable()
    _Bench(Schedule.of(plan), store, watch, tally, fresh).run()


def measured(plan: Plan) -> Iterator[Row]:
    """The rows of a plan, computed here and now and stored nowhere."""
    for job in jobs_of(plan):
        yield from compute(job, job.evaluators).rows


class _Bench:
    """A bench under way."""

    def __init__(
        self, schedule: Schedule, store: Store, watch: Watch, tally: Tally, fresh: bool
    ) -> None:
        self.schedule = schedule
        self.store = store
        self.watch = watch
        self.tally = tally
        self.fresh = fresh
        self.total = schedule.total
        self.done: set[str] = set()

    def run(self) -> None:
        for subject, floor in self.schedule.subjects:
            self._bench(subject, floor)
            gc.collect()  # a model in a circle of references goes before the next one comes
        self.watch(len(self.done), self.total, "")

    def _bench(self, subject: Subject, floor: bool) -> None:
        """Do the jobs of one subject. Nothing holds its model when this returns."""
        for job in self.schedule.jobs(subject, floor):
            if job.hash in self.done:  # the same model once more, such as a copy of its run
                self.total -= 1
                continue
            self.watch(len(self.done), self.total, job.label)
            self._do(job)
            self.done.add(job.hash)

    def _do(self, job: Job) -> None:
        """Compute and write the rows that a job lacks. What failed before is tried again."""
        stored = [] if self.fresh else self._stored(job)
        present = {row.metric for row in stored if row.status != "failed"}
        missing = [e for e in job.evaluators if not {m.name for m in metrics_of(e)} <= present]
        if not missing:
            self.tally.stored += 1
            return
        outcome = compute(job, missing)
        self._write(job, outcome.rows)
        self._count(job, outcome)

    def _stored(self, job: Job) -> list[Row]:
        return self.store.rows(job.hash) if self.store.valid(job.hash) else []

    def _write(self, job: Job, rows: Sequence[Row]) -> None:
        """Put rows beside those of other metrics, which another process may just have added."""
        names = {row.metric for row in rows}
        with self.store.locked():
            kept = [] if self.fresh else self._stored(job)
            others = [row for row in kept if row.metric not in names]
            self.store.write(job.hash, job.description, [*others, *rows])

    def _count(self, job: Job, outcome: Outcome) -> None:
        reasons = dict.fromkeys(row.reason for row in outcome.rows if row.status == "failed")
        for reason in reasons:
            failure = Failure(outcome.tracebacks.get(reason, ""))
            self.tally.failures.setdefault(reason, failure).labels.append(job.label)
        if reasons:
            self.tally.failed += 1
        elif all(row.status == "n/a" for row in outcome.rows):
            self.tally.inapplicable += 1
        else:
            self.tally.computed += 1


def compute(job: Job, evaluators: Sequence[Resolved]) -> Outcome:
    """The rows of one job: its numbers, or why there are none."""
    if job.reason:
        return _without_values(job, evaluators, {}, "n/a", job.reason)
    try:
        context = job.prepare()
    except Exception as error:
        return _stopped(job, evaluators, {}, error)
    measured = _measured(context)
    if context.flaw:
        return _without_values(job, evaluators, measured, "failed", context.flaw)
    outcome = Outcome([])
    for evaluator in evaluators:
        part = _evaluate(job, evaluator, context, measured)
        outcome.rows += part.rows
        outcome.tracebacks |= part.tracebacks
    return outcome


def _measured(context: Context) -> dict[str, float]:
    """The columns that sampling measured; none where no solver ran."""
    if context.cell is None:
        return {}
    nfe = float(context.cell.nfe.double().mean())
    return {"nfe": nfe, "seconds_per_sample": context.cell.seconds}


def _evaluate(
    job: Job, evaluator: Resolved, context: Context, measured: dict[str, float]
) -> Outcome:
    """The rows of one evaluator."""
    declared = [metric.name for metric in evaluator.schema.cls.metrics]
    try:
        values: dict[str, Value] = {v.metric: v for v in evaluator.built.evaluate(context)}
        if values.keys() != set(declared):
            names = ", ".join(values) or "nothing"
            raise UserError(f"{evaluator.short} declares {', '.join(declared)} and gave {names}")
        pairs = zip(metrics_of(evaluator), declared, strict=True)
        return Outcome([_row(job, evaluator, m, measured, values[name]) for m, name in pairs])
    except Exception as error:
        return _stopped(job, [evaluator], measured, error)


def _stopped(
    job: Job, evaluators: Sequence[Resolved], measured: dict[str, float], error: Exception
) -> Outcome:
    """Rows that an exception left without a number."""
    if isinstance(error, Incompatible):
        return _without_values(job, evaluators, measured, "n/a", last_line(error))
    outcome = _without_values(job, evaluators, measured, "failed", one_line(error))
    outcome.tracebacks[outcome.rows[0].reason] = in_full(error)
    return outcome


def _without_values(
    job: Job,
    evaluators: Sequence[Resolved],
    measured: dict[str, float],
    status: str,
    reason: str,
) -> Outcome:
    """A row without a number for each metric."""
    rows = [
        _row(job, evaluator, metric, measured, Value("", math.nan, reason=reason), status)
        for evaluator in evaluators
        for metric in metrics_of(evaluator)
    ]
    return Outcome(rows)


def _row(
    job: Job,
    evaluator: Resolved,
    metric: Metric,
    measured: dict[str, float],
    value: Value,
    status: str = "",
) -> Row:
    """The one place that makes a row of a bench.

    Args:
        job: states what is measured, and how.
        evaluator: what measured it.
        metric: the identity of the number.
        measured: columns that sampling measured.
        value: the number, or NaN with the reason why there is none.
        status: of the row; by default ``n/a`` if there is a reason, else ``ok``.
    """
    columns: dict[str, Any] = {**job.columns, **measured}
    columns["versions"] = add_versions(columns["versions"], evaluator)
    columns["n"] = value.n or columns.get("n")
    return Row(
        **columns,
        hash=job.hash,
        metric=metric.name,
        better=metric.better,
        ideal=metric.ideal,
        unit=metric.unit,
        value=float(value.value),
        ci_low=float(value.ci_low),
        ci_high=float(value.ci_high),
        status=status or ("n/a" if value.reason else "ok"),
        reason=value.reason,
    )
