"""Cells: what a bench computes, each described, hashed and able to make its own samples."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sgmkit._util.hashing import describe_hash
from sgmkit.benching.plan import Choice, Plan, brief, choices, judges
from sgmkit.benching.results import Row
from sgmkit.benching.subject import Subject
from sgmkit.errors import BadValue
from sgmkit.evaluation import Cell, Context
from sgmkit.models import Samples, gather, sample_batches
from sgmkit.noise import SeededNoise
from sgmkit.registry import Resolved
from sgmkit.solvers import Solver

ITEMS = 1 << 16
"""Test items that an evaluator of models may ask for, where every draw is fresh."""


@dataclass(frozen=True)
class Job:
    """One results file.

    Args:
        description: all that decides its numbers; its hash names the file.
        row: what all of its rows share.
        evaluators: who looks at it.
        prepare: makes what they look at, and adds to the row what was measured on the way.
        reason: why it cannot be computed; empty if it can.
    """

    description: dict[str, Any]
    row: Row
    evaluators: Sequence[Resolved]
    prepare: Callable[[], tuple[Context, Row]]
    reason: str = ""

    @cached_property
    def hash(self) -> str:
        """Names its file."""
        return describe_hash(self.description)

    @property
    def label(self) -> str:
        """Names it to a reader."""
        row = self.row
        seed = "" if row.seed is None else f"seed {row.seed}"
        parts = (
            row.data,
            row.sde,
            row.solver or row.scope,
            row.options,
            row.grid,
            row.budget,
            seed,
        )
        return " ".join(filter(None, parts))


def jobs_of(plan: Plan) -> Iterator[Job]:
    """All jobs of a plan: each model as such, its cells, then the floors of the data sets."""
    by_scope = judges(plan)
    floors: dict[str, Subject] = {}
    for subject in plan.subjects:
        if by_scope["model"]:
            yield _model_job(plan, subject, by_scope["model"])
        memos: list[dict[Any, Any]] = [{} for _ in range(plan.seeds)]
        grids: dict[Any, Tensor] = {}
        for choice in choices(plan) if by_scope["cell"] else ():
            for seed, memo in enumerate(memos):
                yield CellSource(plan, subject, choice, seed, memo, grids).job(by_scope["cell"])
        floors.setdefault(str(subject.data.describe()), subject)
    comparable = [e for e in by_scope["cell"] if e.schema.cls.floor]
    for subject in floors.values() if comparable else ():
        for seed in range(plan.seeds):
            yield _floor_job(plan, subject, comparable, seed)


@dataclass(frozen=True)
class CellSource:
    """A cell of the table: one subject, choice and seed.

    Args:
        memo: what the cells of one subject and seed share.
        grids: times that the cells of one subject share.
    """

    plan: Plan
    subject: Subject
    choice: Choice
    seed: int
    memo: dict[Any, Any] = field(repr=False)
    grids: dict[Any, Tensor] = field(repr=False)

    def job(self, evaluators: Sequence[Resolved]) -> Job:
        """Its job; whether the solver fits the model is found out when it runs."""
        plan, choice, rules = self.plan, self.choice, self.plan.rules
        t_min = _cut(plan, self.subject)
        axes = {"t_min": t_min, "last": rules.last, "start": rules.start}
        axes |= {"seed": self.seed, "steps": choice.steps, "n": plan.samples}
        description = {
            "scope": "cell",
            **_describe(self.subject),
            "solver": choice.solver.describe(),
            "grid": choice.grid.describe() if choice.grid else None,
            **axes,
        }
        images = rules.images if self.subject.built.states_law else ""
        description |= {"images": images} if images == "sample" else {}
        parts = [choice.solver, *([choice.grid] if choice.grid else [])]
        row = replace(
            _row(self.subject, "cell", *parts),
            solver=choice.solver.short,
            options=choice.options,
            grid=choice.grid.label if choice.grid else "",
            budget=choice.budget,
            images=images,
            **axes,
        )
        reason = ""
        if choice.steps == 0:
            description["budget"] = choice.budget
            reason = f"{choice.budget} does not pay for one step of {row.solver}"
        return Job(description, row, evaluators, lambda: self._prepare(row), reason)

    def _prepare(self, row: Row) -> tuple[Context, Row]:
        solver = self.choice.solver.build()
        samples, seconds = self._sample(solver, self._times(row.t_min))
        context = _context(self.subject, self.seed, self.memo, samples.x, row.t_min)
        context.u_T, context.u_0 = samples.start, samples.u
        cost = (samples.nfe, seconds, samples.decoder_calls)
        context.cell = Cell(solver, self.plan.rules.last, *cost)
        return context, replace(
            row, nfe=float(samples.nfe.double().mean()), seconds_per_sample=seconds
        )

    def _times(self, t_min: float) -> Tensor:
        choice, sde = self.choice, self.subject.built.sde
        if choice.grid is None:
            return torch.tensor([sde.horizon, t_min], dtype=torch.float64)
        key = (choice.grid.label, choice.steps, t_min)
        if key not in self.grids:
            self.grids[key] = choice.grid.build()(sde, choice.steps, t_min)
        return self.grids[key].clone()  # nobody's to change

    def _sample(self, solver: Solver, times: Tensor) -> tuple[Samples, float]:
        """Samples in batches, and seconds for each."""
        plan = self.plan
        begin = time.perf_counter()
        samples = gather(
            sample_batches(
                self.subject.built,
                plan.samples,
                solver,
                times,
                self.seed,
                plan.rules,
            )
        )
        return samples, (time.perf_counter() - begin) / plan.samples


def _model_job(plan: Plan, subject: Subject, evaluators: Sequence[Resolved]) -> Job:
    model = subject.built
    t_min = _cut(plan, subject)
    description = {"scope": "model", **_describe(subject), "t_min": t_min}
    row = replace(_row(subject, "model"), t_min=t_min)

    def prepare() -> tuple[Context, Row]:
        none = torch.empty(0, *model.event)
        ids = subject.dataset.size("test") or ITEMS  # not --samples: nothing is sampled
        return _context(subject, 0, {}, none, t_min, ids), row

    return Job(description, row, evaluators, prepare)


def _floor_job(plan: Plan, subject: Subject, evaluators: Sequence[Resolved], seed: int) -> Job:
    """Data against fresh data: what a perfect model would get at the same number of samples."""
    data, law = subject.data, subject.dataset
    n = min(plan.samples, *(law.size(split) or plan.samples for split in ("train", "test")))
    description = {"scope": "floor", "dataset": data.describe(), "seed": seed, "n": n}
    versions = _versions(data)
    row = Row(
        metric="", scope="floor", solver="floor", data=data.label, seed=seed, n=n, versions=versions
    )

    def prepare() -> tuple[Context, Row]:
        fresh = law.draw("train", n, SeededNoise(seed, range(n)).stream("floor")).x
        return _context(subject, seed, {}, fresh, math.nan), row

    return Job(description, row, evaluators, prepare)


def _context(
    subject: Subject,
    seed: int,
    memo: dict[Any, Any],
    samples: Tensor,
    t_min: float,
    ids: int | None = None,
) -> Context:
    data = subject.dataset

    def reference(n: int) -> Tensor:
        """Fresh data, the same for every cell of a seed; as many as there are."""
        n = min(n, data.size("test") or n)
        if (key := ("reference", n)) not in memo:
            noise = SeededNoise(seed, range(n)).stream("reference")
            memo[key] = data.draw("test", n, noise).x
        return memo[key]

    return Context(
        samples=samples,
        reference=reference,
        model=subject.built,
        dataset=data,
        noise=SeededNoise(seed, range(ids or len(samples))).stream("evaluate"),
        t_min=t_min,
        memo=memo,
    )


def _cut(plan: Plan, subject: Subject) -> float:
    """Where grids end, checked before any work."""
    t_min = plan.t_min or subject.built.t_min
    horizon = subject.built.sde.horizon
    if not 0 < t_min < horizon:
        label = subject.sde.label
        raise BadValue(f"t_min of {label!r} must lie between 0 and {horizon:g}, not {t_min:g}")
    return t_min


def _describe(subject: Subject) -> dict[str, Any]:
    return {**subject.describe(), "dtype": _dtype(subject)}


def _dtype(subject: Subject) -> str:
    return str(subject.built.state_like().dtype).removeprefix("torch.")


def _row(subject: Subject, scope: str, *parts: Resolved) -> Row:
    """What every row about a subject says."""
    model = subject.built
    return Row(
        metric="",
        scope=scope,
        run=subject.run,
        model=brief(subject.model, ("sde", "dataset")),  # told in columns of their own
        sde=subject.sde.label,
        data=subject.data.label,
        params=sum(p.numel() for p in model.parameters()),
        device=str(model.state_like().device),
        dtype=_dtype(subject),
        versions=_versions(subject.model, subject.data, *parts),
    )


def _versions(*parts: Resolved) -> str:
    return add_versions(f"torch {torch.__version__}", *parts)


def add_versions(told: str, *parts: Resolved) -> str:
    """``torch 2.6, sgmkit 0.1`` and the distributions of more components, each once, sorted."""
    found = {f"{name} {version}" for part in parts for name, version in part.versions().items()}
    return ", ".join(sorted({*told.split(", "), *found}))
