"""The bench: compute what is missing, a file for each cell as it ends, and nothing twice.

What does not go together is a row with its reason; what breaks is a row with the last line of its
error; a killed bench goes on where it stopped.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sgmkit.benching.cells import Job, add_versions, jobs_of
from sgmkit.benching.plan import Plan, metrics_of
from sgmkit.benching.results import Row, Store
from sgmkit.errors import Incompatible, UserError
from sgmkit.evaluation import Context, Value
from sgmkit.registry import Resolved
from sgmkit.registry.loader import reason

Watch = Callable[[int, int, str], None]
"""Told before each job and after the last: jobs done, jobs in all, and what comes next."""


@dataclass
class Tally:
    """What became of the jobs."""

    computed: int = 0
    found: int = 0
    inapplicable: int = 0
    failed: int = 0
    troubles: dict[str, list[str]] = field(default_factory=dict)
    """Why jobs failed, and which."""


def run(plan: Plan, store: Store, watch: Watch, tally: Tally, fresh: bool = False) -> None:
    """Compute what is missing and count it in ``tally``.

    A description names components and options, not their code: who edits a component asks for all
    of its cells ``fresh``.

    Raises:
        UserError: before any work, if results cannot be written; before any file is touched, if
            a component cannot be built.
    """
    store.check_writable()
    jobs = list({job.hash: job for job in jobs_of(plan)}.values())  # heun: 10 or 11 calls are one
    for place, job in enumerate(jobs):
        watch(place, len(jobs), job.label)
        # A failure is tried again.
        found = [] if fresh else _stored(store, job)
        present = {row.metric for row in found if row.status != "failed"}
        missing = [e for e in job.evaluators if not {m.name for m in metrics_of(e)} <= present]
        if not missing:
            tally.found += 1
            continue
        rows = [replace(row, hash=job.hash) for row in compute(job, missing)]
        _add(store, job, rows, fresh)
        _count(tally, job, rows)
    watch(len(jobs), len(jobs), "")


def _stored(store: Store, job: Job) -> list[Row]:
    return store.rows(job.hash) if store.valid(job.hash) else []


def _add(store: Store, job: Job, rows: Sequence[Row], fresh: bool) -> None:
    """Put rows beside those of other metrics, some of which another process may just have added."""
    names = {row.metric for row in rows}
    with _alone(store.directory):
        kept = [row for row in _stored(store, job) if row.metric not in names and not fresh]
        store.write(job.hash, job.description, [*kept, *rows])


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time, where the file system can lock; no file is left behind."""
    handle = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        pass  # writing says what is wrong with the directory
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def compute(job: Job, evaluators: Sequence[Resolved]) -> list[Row]:
    """The rows of one job: its numbers, or why there are none."""
    if job.reason:
        return _blanks(job.row, evaluators, "n/a", job.reason)
    try:
        context, row = job.prepare()
    except Incompatible as error:
        return _blanks(job.row, evaluators, "n/a", reason(error))
    except Exception as error:
        return _blanks(job.row, evaluators, "failed", reason(error))
    wrong = (
        int((~context.samples.flatten(1).isfinite().all(1)).sum()) if len(context.samples) else 0
    )
    if wrong:
        why = f"{wrong} of {len(context.samples)} samples are not finite"
        return _blanks(row, evaluators, "failed", why)
    return [found for choice in evaluators for found in _evaluate(choice, context, row)]


def _evaluate(choice: Resolved, context: Context, row: Row) -> list[Row]:
    declared = [metric.name for metric in choice.schema.cls.metrics]
    try:
        values = {value.metric: value for value in choice.built.evaluate(context)}
        if values.keys() != set(declared):
            given = ", ".join(values) or "nothing"
            raise UserError(f"{choice.short} declares {', '.join(declared)} and gave {given}")
        blank = _blanks(row, [choice], "ok", "")
        return [_filled(row, values[name]) for row, name in zip(blank, declared, strict=True)]
    except Incompatible as error:
        return _blanks(row, [choice], "n/a", reason(error))
    except Exception as error:
        return _blanks(row, [choice], "failed", reason(error))


def _filled(row: Row, value: Value) -> Row:
    return replace(
        row,
        value=float(value.value),
        ci_low=float(value.ci_low),
        ci_high=float(value.ci_high),
        n=value.n or row.n,
        status="n/a" if value.reason else "ok",
        reason=value.reason,
    )


def _blanks(row: Row, evaluators: Sequence[Resolved], status: str, why: str) -> list[Row]:
    """A row without a number for each metric."""
    return [
        replace(
            row,
            metric=metric.name,
            better=metric.better,
            ideal=metric.ideal,
            unit=metric.unit,
            versions=add_versions(row.versions, choice),
            status=status,
            reason=why,
        )
        for choice in evaluators
        for metric in metrics_of(choice)
    ]


def _count(tally: Tally, job: Job, rows: Sequence[Row]) -> None:
    bad = [row for row in rows if row.status == "failed"]
    if bad:
        tally.failed += 1
        tally.troubles.setdefault(bad[0].reason, []).append(job.label)
    elif all(row.status == "n/a" for row in rows):
        tally.inapplicable += 1
    else:
        tally.computed += 1
