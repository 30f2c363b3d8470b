r"""Score-based models in data space, for every linear SDE and every network.

The network sees states of unit variance and a time, and answers as `prediction` says; what the
solvers see is the driven noise ``eps_d`` of the kernel ``u_t | x``, whatever was matched.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import BadValue, Batch, Kernel, LinearSDE, Loss, Model, Network, Noise, Reverse
from sgmkit.errors import Incompatible
from sgmkit.flow import flow_factor
from sgmkit.linear import Operator, act, semidefinite_factor
from sgmkit.prediction import Prediction, whole_operator
from sgmkit.reverse import Predict
from sgmkit.score import (
    SIGMA_DATA,
    TimeSampler,
    Weighting,
    mix_noise,
    perturb,
    weight_matrix,
    weighted_error,
)
from sgmkit_sgm.answer import Local, Matching, Mixed, Parameterisation

MIXING_LOGIT = -3.0
"""Where the learnable share of the network starts: sigmoid is 0.05 (LSGM's default)."""
KEPT = 4096
"""Single times whose coefficients are remembered."""


@dataclass(frozen=True)
class Match:
    """The score-matching problem of one batch, and how well the network solves it.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: that they were drawn with, ``(B,)``.
        weight: W of the loss, ``(B, r, r)``; see `sgmkit.score.weight_matrix`.
        error: driven noise less the network's, ``(B, r, *event)``; of all phases, k for r, where
            the network predicts the whole noise.
    """

    t: Tensor
    density: Tensor
    weight: Tensor
    error: Tensor


class Sgm(Model):
    """A network trained by score matching (Song et al. 2021; Dockhorn et al. 2022).

    It is trained at times from ``t_min`` to the horizon, and nothing below ``t_min`` is asked of
    it. The loss is an average over rows: rows do not see each other, and each draws its time and
    noise by its sample id.

    Raises:
        BadValue: for options that contradict each other.
        Incompatible: for options that the process has no use for.
    """

    def __init__(
        self,
        event: tuple[int, ...],
        sde: LinearSDE,
        network: Callable[..., Network],
        matching: Annotated[
            Matching,
            Doc("noise given the data (hybrid), or given all of u_0 (denoising)"),
        ] = "hsm",
        weighting: Annotated[
            Weighting, Doc("of the squared noise error; edm: their law of noise levels included")
        ] = "unweighted",
        sampling: Annotated[
            Literal["importance", "uniform"], Doc("law of t, which changes no expected loss")
        ] = "importance",
        prediction: Annotated[Prediction, Doc("what the network answers")] = "noise",
        mixed: Annotated[
            Mixed,
            Doc("fixed part of the noise: that of Normal data with a learnable share, or v / S_vv"),
        ] = "none",
        sigma_data: Annotated[
            float, Gt(0), Doc("standard deviation of the data, for the edm options")
        ] = SIGMA_DATA,
        t_min: Annotated[
            float | None, Gt(0), Doc("where training, grids and likelihoods end; unset: the SDE's")
        ] = None,
    ) -> None:
        super().__init__()
        self.event, self.sde, self.t_min = tuple(event), sde, t_min or sde.t_min
        if self.t_min >= sde.horizon:
            raise BadValue(f"t_min = {self.t_min:g} is not below the horizon {sde.horizon:g}")
        self.matching: Matching = matching
        self.weighting: Weighting = weighting
        self.sampling, self.mixed, self.sigma_data = sampling, mixed, sigma_data
        self.form = Parameterisation(sde, prediction, mixed, matching, sigma_data)
        channels, *sizes = self.event
        self.network = network(
            in_shape=(sde.phases * channels, *sizes),
            out_shape=(self.form.outputs * channels, *sizes),
        )
        if mixed == "normal":
            shape = (sde.driven, channels, *(1 for _ in sizes))
            self.mixing_logit = nn.Parameter(torch.full(shape, MIXING_LOGIT))
        self._recent: dict[float, Local] = {}

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        whole = self.whole_noise if self.form.whole else None
        if y is None:
            return Reverse(self.sde, self.eps, noise, whole=whole)
        if not self.network.classes:
            raise Incompatible("the network has no classes; leave the labels out")
        labels = y.to(self.state_like().device)

        def narrow(predict: Callable[..., Tensor]) -> Callable[[Tensor], Predict]:
            return lambda index: partial(predict, y=labels[index.to(labels.device)])

        return Reverse(
            self.sde,
            partial(self.eps, y=labels),
            noise,
            narrow(self.eps),
            whole and partial(whole, y=labels),
            whole and narrow(whole),
        )

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        return u[:, 0]

    def eps(self, u: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Noise of the kernel ``u_t | x``, ``(B, r, *event)``. One network call.

        Args:
            u: states ``(B, k, *event)``.
            t: ``()`` or ``(B,)``, float64; on the CPU where it is ``()``.
            y: labels ``(B,)`` or None.
        """
        return self._noise(u, self._local(t, u), y)

    def whole_noise(self, u: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Noise of all phases in the frame of R, ``(B, k, *event)``, where that is predicted."""
        return self._answer(u, self._local(t, u), y)

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """The weighted squared error, averaged over t, in units of what Normal data would leave.

        ``total`` is one for data that are N(0, c) under an exact score, whatever the process, the
        weighting and the number of pixels, so that one clipping threshold suits all. ``score`` is
        the same integral over t in its own units per coordinate, nats for the likelihood
        weighting. ``noise`` is the squared noise error of one coordinate, averaged over uniform t.
        """
        match, size = self.match(batch, noise), math.prod(self.event)
        chance = match.density.to(match.error)
        score = (weighted_error(match.weight, match.error) / chance).mean() / size
        square = match.error.detach().square().flatten(1).mean(1)
        plain = (square / chance).mean() / (self.sde.horizon - self.t_min)
        return Loss(score / self._times.total, {"score": score.detach(), "noise": plain})

    def match(self, batch: Batch, noise: Noise) -> Match:
        """Perturb a batch and compare the network's noise with the one that was added.

        Labels are told to a network that has classes. Streams: "time", "diffusion", and "start"
        for what denoising matching adds to the data.
        """
        x = batch.x.to(self.state_like())
        y = batch.y.to(x.device) if batch.y is not None and self.network.classes else None
        uniform = noise.stream("time").uniform(torch.empty(len(x), dtype=torch.float64))
        t, density = self._times.draw(uniform)
        eps = noise.stream("diffusion")(x.new_empty(len(x), self.sde.phases, *self.event))
        given = kernel = self.sde.kernel(t)
        if self.matching == "hsm":
            u = perturb(kernel, x, eps)
        else:
            phi, factor = self.sde.kernel_from(t)
            given = Kernel(phi[..., 0], factor @ factor.mT, factor)
            u = act(phi.to(x), self._start(x, noise)) + act(factor.to(x), eps)
        local = self.form.each(t, kernel, given, u)
        weight = weight_matrix(self.sde, t, given, self.weighting, self.sigma_data)
        if not self.form.whole:
            found = self._noise(u, local, y)
            return Match(t, density, weight, eps[:, -self.sde.driven :] - found)
        factor = flow_factor(self.sde, t)
        error = act(torch.linalg.solve(factor, kernel.chol).to(u), eps) - self._answer(u, local, y)
        to_driven = whole_operator(kernel, factor, self.sde.driven)
        every = to_driven.mT @ weight @ to_driven
        if self.weighting == "unweighted":
            every = 2 * torch.eye(self.sde.phases).to(every).expand_as(every)
        return Match(t, density, every, error)

    @cached_property
    def _times(self) -> TimeSampler:
        share = 1.0 if self.sampling == "uniform" else 0.1
        return TimeSampler(
            self.sde,
            self.weighting,
            self.t_min,
            share,
            sigma_data=self.sigma_data,
            whole=self.form.whole,
        )

    def _start(self, x: Tensor, noise: Noise) -> Tensor:
        """u_0 given x, ``(B, k, *event)``, from the law that ``start_cov`` states."""
        start = x.new_zeros(len(x), self.sde.phases, *self.event)
        if self.sde.start_cov:
            root = Operator(semidefinite_factor(self.sde.start_cov))
            start = root(noise.stream("start")(start))
        start[:, 0] += x
        return start

    def _local(self, t: Tensor, u: Tensor) -> Local:
        """Coefficients at t ``()`` or ``(B,)``, for states like u."""
        if t.ndim:
            return self.form.each(t, self.sde.kernel(t), None, u)
        local = self._recent.get(key := float(t))
        if local is None:
            if len(self._recent) >= KEPT:
                self._recent.clear()
            local = self._recent[key] = self.form.single(key)
        return local

    def _answer(self, u: Tensor, local: Local, y: Tensor | None) -> Tensor:
        """What the network says of states ``(B, k, *event)``, phase by phase."""
        phases = [part * s for part, s in zip(u.unbind(1), local.scale, strict=True)]
        z = phases[0] if len(phases) == 1 else torch.cat(phases, 1)
        z = z.to(next(self.network.parameters(), z).dtype)
        label = local.label
        c = label.to(z) if isinstance(label, Tensor) else z.new_full((len(z),), label)
        answer = self.network(z, c, y).to(u.dtype)  # under autocast it speaks bfloat16
        return answer.unflatten(1, (self.form.outputs, self.event[0]))

    def _noise(self, u: Tensor, local: Local, y: Tensor | None) -> Tensor:
        """The driven noise of states ``(B, k, *event)``, ``(B, r, *event)``."""
        answer = self._answer(u, local, y)
        if self.mixed == "normal":
            fixed, own = local.acts
            return mix_noise(fixed(u), own(answer), self.mixing_logit)
        return local.acts[0](u, answer) if local.acts else answer
