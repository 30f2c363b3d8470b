"""Jobs: what a bench computes, each described, hashed and able to make its own samples.

A job is one results file. There are three scopes: a *cell* samples one subject with one solver and
budget under one seed; a job of scope *model* measures a model without sampling; a *floor* compares
fresh data with data, which shows what a perfect model would get.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from sgmkit._util.hashing import describe_hash
from sgmkit.benching.labels import versions
from sgmkit.benching.plan import Choice, Evaluators, Plan, choices
from sgmkit.benching.subject import LoadedSubject, Subject
from sgmkit.evaluation import Cell, Context
from sgmkit.models import Samples, gather, sample_batches
from sgmkit.noise import SeededNoise
from sgmkit.registry import Resolved
from sgmkit.solvers import Solver

ITEMS = 1 << 16
"""Number of sample ids for evaluators of models where the data set has no fixed test split."""


@dataclass(frozen=True)
class Job:
    """One results file.

    Args:
        description: all that decides its numbers; its hash names the file.
        columns: the columns that all of its rows share and that are known before it runs.
        evaluators: those that measure it.
        prepare: makes what the evaluators look at.
        reason: why it cannot be computed; empty if it can.
    """

    description: Mapping[str, Any]
    columns: Mapping[str, Any]
    evaluators: Sequence[Resolved]
    prepare: Callable[[], Context]
    reason: str = ""

    @cached_property
    def hash(self) -> str:
        """The name of its file."""
        return describe_hash(self.description)

    @property
    def scope(self) -> str:
        """``cell``, ``model`` or ``floor``."""
        return self.columns["scope"]

    @property
    def label(self) -> str:
        """Its name for a reader: ``eight-gaussians vp heun logsnr nfe=50 seed 0``."""
        columns = self.columns
        parts = [columns.get(name, "") for name in ("data", "sde")]
        parts.append(columns.get("solver") or self.scope)
        parts += [columns.get(name, "") for name in ("options", "grid", "budget")]
        parts.append(f"seed {columns['seed']}" if "seed" in columns else "")
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Schedule:
    """All that can be planned and counted before a model is loaded.

    Args:
        plan: what the bench compares.
        choices: its solvers with their budgets.
        evaluators: its evaluators by scope.
        subjects: in order, ``(subject, whether its jobs include the floor of its data set)``; only
            those of the first subject on each data set do.
    """

    plan: Plan
    choices: Sequence[Choice]
    evaluators: Evaluators
    subjects: Sequence[tuple[Subject, bool]]

    @classmethod
    def of(cls, plan: Plan) -> "Schedule":
        """The schedule of a plan.

        Raises:
            UserError: for whatever is wrong and shows before weights are loaded.
        """
        evaluators = Evaluators.of(plan)
        subjects: list[tuple[Subject, bool]] = []
        data: set[str] = set()
        for subject in plan.subjects:
            subject.check(plan.t_min)
            name = str(subject.data.describe())
            subjects.append((subject, bool(evaluators.floor) and name not in data))
            data.add(name)
        return cls(plan, choices(plan) if evaluators.cell else [], evaluators, subjects)

    @property
    def total(self) -> int:
        """How many jobs there are, if no two subjects are the same."""
        of_subject = bool(self.evaluators.model) + len(self.choices) * self.plan.seeds
        floors = sum(floor for _, floor in self.subjects)
        return len(self.subjects) * of_subject + floors * self.plan.seeds

    def jobs(self, subject: Subject, floor: bool) -> Iterator[Job]:
        """Load a subject and give its jobs; they hold its model."""
        jobs = SubjectJobs(self.plan, subject.load())
        if self.evaluators.model:
            yield jobs.of_model(self.evaluators.model)
        for choice in self.choices:
            for seed in range(self.plan.seeds):
                yield jobs.of_cell(choice, seed, self.evaluators.cell)
        for seed in range(self.plan.seeds) if floor else ():
            yield jobs.of_floor(seed, self.evaluators.floor)


def jobs_of(plan: Plan) -> Iterator[Job]:
    """All jobs of a plan, subject by subject: the model itself, its cells, the floor of its data.

    Whoever keeps the jobs keeps the models; `runner.run` forgets those of a subject before it
    loads the next one.
    """
    schedule = Schedule.of(plan)
    for subject, floor in schedule.subjects:
        yield from schedule.jobs(subject, floor)


class SubjectJobs:
    """Makes the jobs of one subject in memory.

    Cells of one seed share data that they are compared with, and cells of one grid its times.
    """

    def __init__(self, plan: Plan, subject: LoadedSubject) -> None:
        self.plan = plan
        self.subject = subject
        self.t_min = subject.t_min(plan.t_min)
        self._memos: list[dict[Any, Any]] = [{} for _ in range(plan.seeds)]
        self._times: dict[Any, Tensor] = {}

    def of_model(self, evaluators: Sequence[Resolved]) -> Job:
        """The job that measures the model without sampling."""
        subject = self.subject
        description = {"scope": "model", **subject.describe(), "t_min": self.t_min}
        columns = subject.columns() | {"scope": "model", "t_min": self.t_min}
        return Job(description, columns, evaluators, self._prepare_model)

    def of_cell(self, choice: Choice, seed: int, evaluators: Sequence[Resolved]) -> Job:
        """The job of one cell; whether the solver fits the model shows when it runs."""
        plan, rules, subject = self.plan, self.plan.rules, self.subject
        axes = {
            "t_min": self.t_min,
            "last": rules.last,
            "start": rules.start,
            "seed": seed,
            "steps": choice.steps,
            "n": plan.samples,
        }
        images, grid = rules.images if subject.model.states_law else "", choice.grid
        description = {
            "scope": "cell",
            **subject.describe(),
            "solver": choice.solver.describe(),
            "grid": grid.describe() if grid else None,
            **axes,
        }
        # `images` was added later: its default is left out, so that older cells are found again.
        # A budget that pays for no step is stated, since all of these have the same steps, 0.
        description |= {"images": images} if images == "sample" else {}
        description |= {"budget": choice.budget} if choice.reason else {}
        columns = {
            **subject.columns(choice.solver, *([grid] if grid else [])),
            "scope": "cell",
            "solver": choice.solver.short,
            "options": choice.options,
            "grid": grid.label if grid else "",
            "budget": choice.budget,
            "images": images,
            **axes,
        }
        prepare = partial(self._prepare_cell, choice, seed)
        return Job(description, columns, evaluators, prepare, choice.reason)

    def of_floor(self, seed: int, evaluators: Sequence[Resolved]) -> Job:
        """The job that compares fresh data with data.

        At most as many as a cell has samples, fewer where the train or test split is smaller.
        """
        data, law = self.subject.subject.data, self.subject.dataset
        samples = self.plan.samples
        n = min(samples, *(law.size(split) or samples for split in ("train", "test")))
        description = {"scope": "floor", "dataset": data.describe(), "seed": seed, "n": n}
        columns = {
            "scope": "floor",
            "solver": "floor",
            "data": data.label,
            "seed": seed,
            "n": n,
            "versions": versions(data),
        }
        return Job(description, columns, evaluators, partial(self._prepare_floor, seed, n))

    def _prepare_model(self) -> Context:
        nothing = torch.empty(0, *self.subject.model.event)
        ids = self.subject.dataset.size("test") or ITEMS  # not --samples: nothing is sampled
        return self._context(0, {}, nothing, self.t_min, ids)

    def _prepare_floor(self, seed: int, n: int) -> Context:
        noise = SeededNoise(seed, range(n)).stream("floor")
        fresh = self.subject.dataset.draw("train", n, noise).x
        return self._context(seed, {}, fresh, math.nan, len(fresh))

    def _prepare_cell(self, choice: Choice, seed: int) -> Context:
        solver: Solver = choice.solver.build()
        samples, seconds = self._sample(solver, self._grid(choice), seed)
        context = self._context(seed, self._memos[seed], samples.x, self.t_min, len(samples.x))
        context.u_T, context.u_0 = samples.start, samples.u
        cost = (samples.nfe, seconds, samples.decoder_calls)
        context.cell = Cell(solver, self.plan.rules.last, *cost)
        return context

    def _grid(self, choice: Choice) -> Tensor:
        """The times of a cell, a copy: what a solver does to them reaches no other cell."""
        sde = self.subject.model.sde
        if choice.grid is None:
            return torch.tensor([sde.horizon, self.t_min], dtype=torch.float64)
        key = (choice.grid.label, choice.steps)
        if key not in self._times:
            self._times[key] = choice.grid.build()(sde, choice.steps, self.t_min)
        return self._times[key].clone()

    def _sample(self, solver: Solver, times: Tensor, seed: int) -> tuple[Samples, float]:
        """The samples of a cell, made in batches, and the wall-clock seconds per sample."""
        plan, model = self.plan, self.subject.model
        begin = time.perf_counter()
        samples = gather(sample_batches(model, plan.samples, solver, times, seed, plan.rules))
        return samples, (time.perf_counter() - begin) / plan.samples

    def _context(
        self, seed: int, memo: dict[Any, Any], samples: Tensor, t_min: float, ids: int
    ) -> Context:
        """What evaluators look at.

        Args:
            seed: of the data to compare with, and of the evaluators' own noise.
            memo: what the evaluators of several jobs share.
            samples: ``(n, *event)``.
            t_min: where grids end; NaN where there are none.
            ids: number of samples whose noise evaluators may ask for.
        """
        data = self.subject.dataset

        def reference(n: int) -> Tensor:
            """Test data to compare samples with: the same for all cells of a seed.

            At most the whole test split.
            """
            n = min(n, data.size("test") or n)
            if (key := ("reference", n)) not in memo:
                noise = SeededNoise(seed, range(n)).stream("reference")
                memo[key] = data.draw("test", n, noise).x
            return memo[key]

        return Context(
            samples=samples,
            reference=reference,
            model=self.subject.model,
            dataset=data,
            noise=SeededNoise(seed, range(ids)).stream("evaluate"),
            t_min=t_min,
            memo=memo,
        )
