r"""Score-based models in data space, for every linear SDE and every network.

The network sees states of unit variance and a time, and answers as `prediction` says; what the
solvers see is the driven noise ``eps_d`` of the kernel ``u_t | x``, whatever was matched.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import (
    BadValue,
    Batch,
    CrossEntropy,
    Kernel,
    LinearSDE,
    Loss,
    Network,
    Noise,
    Prior,
    Reverse,
)
from sgmkit.errors import Incompatible
from sgmkit.models import Weigh
from sgmkit.processes import (
    SIGMA_DATA,
    Operator,
    Prediction,
    TimeSampler,
    Weighting,
    act_on_phases,
    flow_factor,
    mix_noise,
    semidefinite_factor,
    weight_matrix,
    weighted_error,
)
from sgmkit.solvers import Predict
from sgmkit_sgm.answer import Inputs, Local, Matching, Mixed, Parameterisation
from sgmkit_sgm.latent import check_latents, cross_entropy
from sgmkit_sgm.perturbed import Match, Perturbed, time_of_noise

MIXING_LOGIT = -3.0
"""Where the learnable share of the network starts: sigmoid is 0.05 (LSGM's default)."""
IDLE_LOGIT = -15.0
"""The share of channels that are idle: 3e-7."""
KEPT = 4096
"""Single times whose coefficients are remembered."""


class Sgm(Prior):
    """A network trained by score matching (Song et al. 2021; Dockhorn et al. 2022).

    It is trained from ``t_min`` to the horizon, and never asked below ``t_min``. The loss is an
    average over rows: rows do not see each other, and each draws its time and noise by its id.

    Raises:
        BadValue: for options that contradict each other.
        Incompatible: for options that the process has no use for.
    """

    active: Tensor

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
        mixing_logit: Annotated[
            float, Doc("where the logit of the network's share starts, with mixed=normal")
        ] = MIXING_LOGIT,
        sigma_data: Annotated[
            float, Gt(0), Doc("standard deviation of the data, for the edm options")
        ] = SIGMA_DATA,
        inputs: Annotated[
            Inputs, Doc("all phases, or the one sum that says all of the data; auto: as it fits")
        ] = "auto",
        control: Annotated[
            bool, Doc("of latents: take what a Normal prior would cost in closed form")
        ] = True,
        t_min: Annotated[
            float | None, Gt(0), Doc("where training and grids end; unset: noise_min or the SDE's")
        ] = None,
        noise_min: Annotated[
            float | None, Gt(0), Doc("standard deviation of the noise there, relative to the data")
        ] = None,
    ) -> None:
        super().__init__()
        self.event, self.sde = tuple(event), sde
        self.t_min = t_min or (time_of_noise(sde, noise_min) if noise_min else sde.t_min)
        if self.t_min >= sde.horizon:
            raise BadValue(f"t_min = {self.t_min:g} is not below the horizon {sde.horizon:g}")
        self.matching: Matching = matching
        self.weighting: Weighting = weighting
        self.sampling, self.control, self.mixed = sampling, control, mixed
        self.sigma_data = sigma_data
        self.form = Parameterisation(sde, prediction, mixed, matching, sigma_data, inputs)
        channels, *sizes = self.event
        self.network = network(
            in_shape=(self.form.seen * channels, *sizes),
            out_shape=(self.form.outputs * channels, *sizes),
        )
        if mixed == "normal":
            shape = (sde.driven, channels, *(1 for _ in sizes))
            self.mixing_logit = nn.Parameter(torch.full(shape, mixing_logit))
        if self.form.normal_part:
            shape = (channels, *(1 for _ in sizes))
            self.register_buffer("active", torch.ones(shape, dtype=torch.bool))
        self._recent: dict[float, Local] = {}
        self._samplers: dict[str, TimeSampler] = {}

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
        match = self.match(batch, noise)
        return self.objective(match.density, match.weight, match.error)

    def objective(self, density: Tensor, weight: Tensor, error: Tensor) -> Loss:
        """The loss of errors ``(B, r, *event)`` at times of this density, ``(B,)``; see `loss`."""
        chance = density.to(error)
        score = (weighted_error(weight, error) / chance).mean() / math.prod(self.event)
        square = error.detach().square().flatten(1).mean(1)
        plain = (square / chance).mean() / (self.sde.horizon - self.t_min)
        total = score / self.times(self.weighting).total
        return Loss(total, {"score": score.detach(), "noise": plain})

    def match(self, batch: Batch, noise: Noise) -> Match:
        """Perturb a batch and compare the network's noise with the one that was added.

        Labels are told to a network that has classes. Streams: "time", "diffusion", and "start"
        for what denoising matching adds to the data.
        """
        at = self.perturbed(batch.x.to(self.state_like()), noise, self.weighting, batch.y)
        return Match(at.t, at.density, self.weight(at, self.weighting), self(at))

    def perturbed(
        self, x: Tensor, noise: Noise, weighting: Weighting, y: Tensor | None = None
    ) -> Perturbed:
        """States around ``x (B, *event)`` at times for a weighting; differentiable in x."""
        uniform = noise.stream("time").uniform(torch.empty(len(x), dtype=torch.float64))
        t, density = self.times(weighting).draw(uniform)
        eps = noise.stream("diffusion")(x.new_empty(len(x), self.sde.phases, *self.event))
        given = kernel = self.sde.kernel(t)
        if self.matching == "hsm":
            u = kernel.perturb(x, eps)
        else:
            phi, root = self.sde.kernel_from(t)
            given = Kernel(phi[..., 0], root @ root.mT, root)
            u = act_on_phases(phi.to(x), self._start(x, noise)) + act_on_phases(root.to(x), eps)
        factor = flow_factor(self.sde, t) if self.form.whole else None
        labels = y.to(x.device) if y is not None and self.network.classes else None
        return Perturbed(t, density, eps, kernel, given, factor, u, labels)

    def forward(self, at: Perturbed) -> Tensor:
        """The noise that was added less the network's, ``(B, r, *event)``; all k where whole."""
        local = self.form.each(at.t, at.kernel, at.given, at.u)
        found = (self._answer if self.form.whole else self._noise)(at.u, local, at.y)
        return at.target(self.sde.driven) - found

    def weight(self, at: Perturbed, weighting: Weighting) -> Tensor:
        """W of the loss, ``(B, r, r)``, or ``(B, k, k)`` where the whole noise is predicted."""
        driven = weight_matrix(self.sde, at.t, at.given, weighting, self.sigma_data)
        return at.weight(driven, alike=weighting == "unweighted")

    def times(self, weighting: Weighting) -> TimeSampler:
        """The law of times that the options ask for, for this weighting."""
        if weighting not in self._samplers:
            share = 1.0 if self.sampling == "uniform" else 0.1
            self._samplers[weighting] = TimeSampler(
                self.sde,
                weighting,
                self.t_min,
                share,
                sigma_data=self.sigma_data,
                whole=self.form.whole,
            )
        return self._samplers[weighting]

    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        return cross_entropy(self, z, noise, weight, separate)

    def check_latents(self) -> None:
        check_latents(self)

    def deactivate(self, idle: Tensor) -> None:
        """Take channels where ``idle (C,)`` is true for N(0, 1): the network does not see them.

        Raises:
            BadValue: where the network does not answer beside a Normal part, which takes them over.
        """
        if not self.form.normal_part:
            raise BadValue("idle channels need prediction=residual or mixed=normal")
        self.active.copy_(~idle.reshape(self.active.shape))

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
        if self.form.normal_part:
            phases = [part * self.active for part in phases]
        z = sum(phases[1:], phases[0]) if self.form.seen == 1 else torch.cat(phases, 1)
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
            logit = torch.where(self.active, self.mixing_logit, IDLE_LOGIT)
            return mix_noise(fixed(u), own(answer), logit)
        if self.form.normal_part:
            answer = answer * self.active
        return local.acts[0](u, answer) if local.acts else answer
