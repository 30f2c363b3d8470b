"""What a model is: something that offers a `Reverse` to solvers and turns states into data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sgmkit._util.memo import remembered
from sgmkit.data import Batch
from sgmkit.errors import BadValue, Incompatible
from sgmkit.likelihoods import FlowOptions, Likelihood, flow_likelihood
from sgmkit.models.loss import Loss
from sgmkit.noise import Noise, SeededNoise
from sgmkit.processes import LinearSDE, Operator, semidefinite_factor
from sgmkit.solvers import Last, Reverse, Solver, finish

Start = Literal["prior", "exact"]
Images = Literal["mean", "sample"]
Bound = Literal["iw-ode", "nelbo-diffusion", "nelbo-chain"]


@dataclass(frozen=True)
class Samples:
    """What sampling returns.

    Args:
        x: ``(B, *event)``, decoded.
        u: the states the solver ended in, ``(B, k, *event)``.
        start: the states it started from, ``(B, k, *event)``.
        nfe: network evaluations of each sample, counted, int64 ``(B,)``.
        decoder_calls: of each sample, counted: they are no network evaluations of the score.
    """

    x: Tensor
    u: Tensor
    start: Tensor
    nfe: Tensor
    decoder_calls: int = 0


class Model(nn.Module, ABC):
    """A distribution over tensors of shape ``event``, as the end of a reverse process."""

    event: tuple[int, ...]
    t_min: float = 1e-3
    """Where grids, likelihoods and last-step rules end; stored with the model."""
    decoder_calls: int = 0
    """Calls of a decoder so far: a model that has one counts them."""
    partial: bool = False
    """Whether some steps leave some parameters out, for which data-parallel training then looks."""
    pretrained: str | None = None
    """Run directory of a model of which a new training takes over parts; see `adopt`."""
    retired: tuple[str, ...] = ()
    """Names of tensors that only earlier versions had in their state. Checkpoints may hold them
    still: they are read, and dropped."""
    discrete: bool = False
    """Whether `nll` is of the data's own values, levels or ones, as a decoder over them states it;
    else it is of a density, and whoever asks dequantises the data first."""
    trainable: bool = True
    """Whether `loss` is there to be trained on; a model without one states False."""
    states_law: bool = False
    """Whether the decoder states a law of data: `observe` draws from it, `decode` is its mean."""

    @cached_property
    def sde(self) -> LinearSDE:
        """The process that `reverse` reverses; a model that has it at hand sets the attribute."""
        return self.reverse(SeededNoise(0, [0])).sde

    @abstractmethod
    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        """The problem that a solver integrates, for labels ``y (B,)`` or none."""

    @abstractmethod
    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        """Data ``(B, *event)`` from states ``(B, k, *event)`` at t_min.

        The mean of what a decoder says, where that is a law of data.
        """

    def observe(self, u: Tensor, noise: Noise) -> Tensor:
        """A draw from what a decoder says, ``(B, *event)``, where that is a law; else `decode`."""
        return self.decode(u, noise)

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """Training loss on one batch; ``progress`` in [0, 1] is for annealing."""
        raise Incompatible(f"{type(self).__name__} has nothing to train")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; ``scale`` multiplies the learning rate of one."""
        return [{"params": list(self.parameters())}]

    def averaged_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name that are trained, and whose averages stand in for them."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def adopt(self, other: "Model", options: Mapping[str, object]) -> None:
        """Take over trained parts of ``other``, before the first step of a training.

        The trainer calls it where `pretrained` names a run, and loads that run itself.

        Args:
            other: the model of that run, with its averaged weights.
            options: the options that ``other`` was built with, to be named in messages.

        Raises:
            BadValue: where the parts of ``other`` do not fit.
        """
        raise BadValue(f"{type(self).__name__} cannot begin with parts of a pretrained run")

    def recorded_progress(self, retired: Mapping[str, Tensor]) -> float:
        """Share of its training that was over, where an earlier version kept it in its state.

        Args:
            retired: those tensors of a checkpoint whose names are in `retired`.
        """
        return 0.0

    def state_like(self) -> Tensor:
        """An empty tensor with the dtype and device of the model's states."""
        tensors = chain(self.parameters(), self.buffers())
        return next(tensors, torch.zeros(0)).new_empty(0)

    def start(self, noise: Noise, how: Start = "prior", y: Tensor | None = None) -> Tensor:
        """States at the horizon, ``(B, k, *event)``, one for each id of ``noise``.

        ``prior`` draws from N(0, prior_cov); ``exact`` from the law of u_T, where it is known.
        """
        if how == "exact":
            return self.start_exactly(noise)
        if how != "prior":
            raise BadValue(f"start {how!r} is none of prior, exact")
        shape = (len(noise.ids), self.sde.phases, *self.state_event())
        z = noise.stream("start")(self.state_like().new_empty(shape))
        return _prior_root(self.sde)(z)

    def start_exactly(self, noise: Noise) -> Tensor:
        """States from the exact law of u_T."""
        raise Incompatible(f"{type(self).__name__} does not know the law of u_T; use --start prior")

    def state_event(self) -> tuple[int, ...]:
        """Shape of one phase of the state: ``event``, unless the model has a latent space."""
        return self.event

    def sample(
        self,
        n: int,
        solver: Solver,
        grid: Tensor,
        noise: Noise,
        *,
        last: Last = "none",
        start: Start = "prior",
        images: Images = "mean",
        y: Tensor | None = None,
    ) -> Samples:
        """Draw ``n`` samples: the start from ``noise``'s stream "start", the steps from "step".

        Args:
            n: number of samples, one for each id of ``noise``.
            solver: integrates from ``grid[0]`` to ``grid[-1]``.
            grid: decreasing times, ``(steps + 1,)`` float64.
            noise: draws by sample id, so a sample does not depend on its batch.
            last: rule for the way from ``grid[-1]`` to 0.
            start: where u_T comes from.
            images: the mean of what a decoder says, or a draw from it.
            y: labels ``(n,)`` or None.

        Raises:
            Incompatible: if the solver cannot integrate the model's SDE, with its reason.
        """
        if len(noise.ids) != n:
            raise BadValue(f"{n} samples need {n} sample ids, not {len(noise.ids)}")
        with torch.inference_mode():
            steps = noise.stream("step")
            rev = self.reverse(steps, y)
            if solver.stochastic and not solver.adaptive:
                steps.expect(len(grid))
            if reason := solver.supports(rev.sde):
                raise Incompatible(reason)
            first = self.start(noise, start, y)
            u = finish(rev, solver.solve(rev, first, grid), grid[-1], last)
            before = self.decoder_calls
            seen = self.decode if images == "mean" else self.observe
            x = seen(u, noise.stream("decode"))
            return Samples(x, u, first, rev.calls, self.decoder_calls - before)

    def nll(
        self,
        x: Tensor,
        noise: Noise,
        *,
        probes: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        t_min: float | None = None,
        y: Tensor | None = None,
    ) -> Likelihood:
        """Negative log-likelihood of ``x (B, *event)`` by the probability flow from ``t_min`` up.

        Args:
            x: data, ``(B, *event)``.
            noise: of one sample id for each row.
            probes, rtol, atol: see `sgmkit.likelihoods.FlowOptions`.
            t_min: the cut-off; None takes the model's own.
            y: labels ``(B,)`` or None.
        """
        options, cut = FlowOptions(probes, rtol, atol), t_min or self.t_min
        return self.flow_nll(x.to(self.state_like()), noise, cut, options, y)

    def flow_nll(
        self, x: Tensor, noise: Noise, t_min: float, options: FlowOptions, y: Tensor | None = None
    ) -> Likelihood:
        """What `nll` computes, with its options as one value: a model overrides this method."""
        return flow_likelihood(self.reverse(noise, y), x, noise, t_min, options)

    def bound(
        self, x: Tensor, noise: Noise, kind: Bound, draws: int = 1, **options: Any
    ) -> Likelihood:
        """An upper bound of the negative log-likelihood of ``x (B, *event)``, besides `nll`.

        ``iw-ode`` weighs ``draws`` latents by importance, their prior's density by the flow; an
        average of ``draws``: ``nelbo-diffusion`` integrates the prior's bound over continuous time,
        ``nelbo-chain`` sums it over the steps of the ancestral chain on a ``grid``.
        """
        raise Incompatible(f"{type(self).__name__} has no latents to bound a likelihood with")


@remembered
def _prior_root(sde: LinearSDE) -> Operator:
    """A root of the prior's covariance."""
    return Operator(semidefinite_factor(sde.prior_cov().tolist()))
