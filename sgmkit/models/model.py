"""What a model is: it offers a `Reverse` to solvers, and decodes states into data."""

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
"""Law of u_T: the prior N(0, prior_cov), or the exact one of the noised data."""
Images = Literal["mean", "sample"]
"""Data from a decoder that states a law of data: its mean, or a sample of it."""
Bound = Literal["iw-ode", "nelbo-diffusion", "nelbo-chain"]
"""Kinds of upper bounds of the negative log-likelihood; see `Model.bound`."""


@dataclass(frozen=True)
class Samples:
    """Samples, and what they cost.

    Args:
        x: samples of the data, ``(B, *event)``.
        u: the states in which the solver ended, ``(B, k, *event)``.
        start: the states from which it started, ``(B, k, *event)``.
        nfe: counted evaluations of the score network for each sample, int64 ``(B,)``.
        decoder_calls: counted evaluations of a decoder for each sample; they are not in ``nfe``.
    """

    x: Tensor
    u: Tensor
    start: Tensor
    nfe: Tensor
    decoder_calls: int = 0


class Model(nn.Module, ABC):
    """A distribution over tensors of shape ``event``, in which a reverse process ends."""

    event: tuple[int, ...]
    t_min: float = 1e-3
    """The cut-off: the smallest time at which the model is used. Time grids end there."""
    decoder_calls: int = 0
    """Number of decoder calls so far; a model that has a decoder counts them."""
    partial: bool = False
    """Some steps give some parameters no gradient; DDP then needs `find_unused_parameters`."""
    pretrained: str | None = None
    """Run directory of a model of which a new training takes over parts; see `adopt`."""
    retired: tuple[str, ...] = ()
    """Names of tensors that only earlier versions had in their state. Checkpoints may hold them
    still: they are read, and dropped."""
    discrete: bool = False
    """Whether `nll` is of probabilities of discrete data (grey levels or bits), which the decoder
    states. Otherwise it is of a density, and discrete data have to be dequantised first."""
    trainable: bool = True
    """Whether the model has a `loss` to train on; a model without one states False."""
    states_law: bool = False
    """Whether the decoder states a law of data: `observe` draws from it, `decode` is its mean."""

    @cached_property
    def sde(self) -> LinearSDE:
        """The forward process that `reverse` reverses; usually set as an attribute instead."""
        return self.reverse(SeededNoise(0, [0])).sde

    @abstractmethod
    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        """The reverse process, which solvers integrate.

        Args:
            noise: for the random numbers of a solver's steps.
            y: labels ``(B,)`` to condition on, or None.
        """

    @abstractmethod
    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        """Data ``(B, *event)`` from states ``(B, k, *event)`` at t_min.

        Where `states_law`, this is the mean of the decoder's law of data.
        """

    def observe(self, u: Tensor, noise: Noise) -> Tensor:
        """A draw from the decoder's law of data, ``(B, *event)``; `decode` where it states none."""
        return self.decode(u, noise)

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """The training loss of one batch.

        Args:
            batch: data with their sample ids.
            noise: of one sample id for each row.
            progress: share of the training that is over, in [0, 1], for annealing.
        """
        raise Incompatible(f"{type(self).__name__} has nothing to train")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; "scale" multiplies the learning rate of a group."""
        return [{"params": list(self.parameters())}]

    def averaged_parameters(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name, whose averages over steps are used for sampling."""
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
        """States at the horizon, ``(B, k, *event)``, one for each sample id of ``noise``.

        Args:
            noise: draws from its stream "start".
            how: ``prior`` draws from N(0, prior_cov); ``exact`` from the law of u_T, where the
                model knows it.
            y: labels ``(B,)`` or None.
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
        """Draw ``n`` samples.

        Args:
            n: number of samples, one for each sample id of ``noise``.
            solver: integrates from ``grid[0]`` to ``grid[-1]``.
            grid: decreasing times, ``(steps + 1,)`` float64.
            noise: draws by sample id, so that a sample does not depend on its batch: the start from
                its stream "start", the steps from "step", decoding from "decode".
            last, start, images: see `sgmkit.models.SamplingRules`.
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
            decode = self.decode if images == "mean" else self.observe
            x = decode(u, noise.stream("decode"))
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
        """Negative log-likelihood of data by the probability flow from the cut-off to the horizon.

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
        """The computation of `nll`, which a model may override.

        Args:
            x: data with the dtype and device of the model's states, ``(B, *event)``.
            noise: of one sample id for each row.
            t_min: the cut-off.
            options: of the flow.
            y: labels ``(B,)`` or None.
        """
        return flow_likelihood(self.reverse(noise, y), x, noise, t_min, options)

    def bound(
        self, x: Tensor, noise: Noise, kind: Bound, draws: int = 1, **options: Any
    ) -> Likelihood:
        """An upper bound of the negative log-likelihood of a model with latents.

        Args:
            x: data, ``(B, *event)``.
            noise: of one sample id for each row.
            kind: ``iw-ode`` is the importance-weighted bound, with the prior's density by the
                probability flow. The others are means over draws: ``nelbo-diffusion`` bounds the
                prior's density in continuous time, ``nelbo-chain`` along the ancestral chain.
            draws: number of draws of the latents of each item.
            options: ``t_min``; for ``iw-ode`` the fields of `sgmkit.likelihoods.FlowOptions`; for
                ``nelbo-chain`` the ``grid`` of the chain.
        """
        raise Incompatible(f"{type(self).__name__} has no latents to bound a likelihood with")


@remembered
def _prior_root(sde: LinearSDE) -> Operator:
    """``C`` with ``C C^T = prior_cov``, as an operator."""
    return Operator(semidefinite_factor(sde.prior_cov().tolist()))
