r"""Score-based models in data space, for every linear SDE and every network.

`sgmkit_sgm.score_matching` poses the problem, `sgmkit_sgm.parameterisation` says what the network
sees and what its answer means, and the model here holds the network. Solvers always receive the
driven noise ``eps_d`` of the kernel u_t | x, whatever the matching target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import Doc

from sgmkit import (
    BadValue,
    Batch,
    CrossEntropy,
    LinearSDE,
    Loss,
    Network,
    Noise,
    Prior,
    Reverse,
)
from sgmkit.errors import Incompatible
from sgmkit.models import Weigh
from sgmkit.processes import SIGMA_DATA, Memo, Prediction, Weighting, mix_noise
from sgmkit.solvers import Predict
from sgmkit_sgm.cross_entropy import LatentCrossEntropy, check_latents
from sgmkit_sgm.parameterisation import Coefficients, Inputs, Matching, Mixed, Parameterisation
from sgmkit_sgm.score_matching import PerturbedBatch, Sampling, ScoreMatching, time_of_noise

MIXING_LOGIT = -3.0
"""Initial logit of the network's share with ``mixed="normal"``: sigmoid is 0.05, as in LSGM."""
INACTIVE_LOGIT = -15.0
"""Logit of the network's share in inactive channels: sigmoid is 3e-7."""


@dataclass(frozen=True)
class Match:
    """A score-matching problem of one batch, and the errors of the network in it.

    Args:
        t: times, ``(B,)`` float64 on the CPU.
        density: the density that they were drawn from, at t, ``(B,)``.
        weight: W of the loss, ``(B, r, r)``; see `sgmkit.processes.weight_matrix`.
        error: target less prediction, ``(B, r, *event)``; of all k phases where the network
            predicts the whole noise.
    """

    t: Tensor
    density: Tensor
    weight: Tensor
    error: Tensor


class Sgm(Prior):
    """A network trained by score matching (Song et al. 2021; Dockhorn et al. 2022).

    It is trained on times from ``t_min`` to the horizon. By default sampling ends at ``t_min`` too;
    below it the network extrapolates. The loss is an average over rows: no row's loss depends on
    another row, and each row draws its time and noise by its sample id.

    Attributes:
        problem: what the network is trained to solve.
        parameterisation: what the network sees and predicts.
        active: ``(C, 1, ...)``: false for inactive channels, which are N(0, 1). Only where the
            score has a Normal part.
        mixing_logit: logit of the network's share in a mixed score, ``(r, C, 1, ...)``. Only with
            ``mixed="normal"``.

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
            Doc(
                "matching target: hsm is hybrid, the noise of u_t given the data; dsm is "
                "denoising, the noise given all phases of u_0"
            ),
        ] = "hsm",
        weighting: Annotated[
            Weighting,
            Doc(
                "weight of the squared error of the noise; likelihood bounds -log p, and edm "
                "includes EDM's law of noise levels"
            ),
        ] = "unweighted",
        sampling: Annotated[
            Sampling,
            Doc("law of the training times; it changes the variance of the loss, not its mean"),
        ] = "importance",
        prediction: Annotated[
            Prediction,
            Doc(
                "what the network predicts: the driven noise; v; the data x; EDM's mixture of data "
                "and noise; residual: the scaled difference between the data and their posterior "
                "mean if the data were N(0, c); or R, the noise of all phases"
            ),
        ] = "noise",
        mixed: Annotated[
            Mixed,
            Doc(
                "velocity: CLD's fixed part L_vv v / S_vv, to which the network is added; normal: "
                "the noise that Normal data would have, interpolated with the network by a "
                "learnable share; none: no fixed part"
            ),
        ] = "none",
        mixing_logit: Annotated[
            float, Doc("initial logit of the network's share, for mixed=normal")
        ] = MIXING_LOGIT,
        sigma_data: Annotated[
            float,
            Gt(0),
            Doc("standard deviation of the data, for prediction=edm and weighting=edm"),
        ] = SIGMA_DATA,
        inputs: Annotated[
            Inputs,
            Doc(
                "what the network sees: phases, each of them; statistic, the one weighted sum of "
                "them that carries all information on the data; auto, the statistic where the "
                "prediction depends on nothing else"
            ),
        ] = "auto",
        control: Annotated[
            bool,
            Doc(
                "for latents: use a control variate, the cost under a Normal prior, whose mean is "
                "known in closed form"
            ),
        ] = True,
        t_min: Annotated[
            float | None,
            Gt(0),
            Doc(
                "cut-off: the smallest time in training, and the end of time grids; unset: from "
                "noise_min, else the SDE's own"
            ),
        ] = None,
        noise_min: Annotated[
            float | None,
            Gt(0),
            Doc(
                "sets t_min: the time where the noise has this standard deviation relative to "
                "unit-variance data"
            ),
        ] = None,
    ) -> None:
        super().__init__()
        if t_min is None:
            t_min = sde.t_min if noise_min is None else time_of_noise(sde, noise_min)
        self.parameterisation = Parameterisation(
            sde, prediction, mixed, matching, sigma_data, inputs
        )
        self.problem = ScoreMatching(
            tuple(event), self.parameterisation, weighting, sampling, t_min
        )
        self.event, self.sde, self.t_min = self.problem.event, sde, t_min
        self.control = control
        channels, *sizes = self.event
        self.network = network(
            in_shape=(self.parameterisation.seen * channels, *sizes),
            out_shape=(self.parameterisation.outputs * channels, *sizes),
        )
        if mixed == "normal":
            shape = (sde.driven, channels, *(1 for _ in sizes))
            self.mixing_logit = nn.Parameter(torch.full(shape, mixing_logit))
        if self.parameterisation.normal_part:
            shape = (channels, *(1 for _ in sizes))
            self.register_buffer("active", torch.ones(shape, dtype=torch.bool))
        self._coefficients: Memo[float, Coefficients] = Memo()

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        whole = self.whole_noise if self.parameterisation.whole else None
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
        """The driven noise of the kernel u_t | x, ``(B, r, *event)``. One network call.

        Args:
            u: states ``(B, k, *event)``.
            t: ``()`` or ``(B,)``, float64; on the CPU where it is ``()``.
            y: labels ``(B,)`` or None.
        """
        return self._driven_noise(u, self._at(t, u), y)

    def whole_noise(self, u: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The noise of all phases in the frame of R, ``(B, k, *event)``, for prediction R only."""
        return self._answer(u, self._at(t, u), y)

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """The weighted squared error, integrated over t.

        ``total`` is the loss divided by what Normal data would give under an exact score, so it is
        about one, whatever the process, the weighting and the number of pixels: one clipping
        threshold suits all. Parts: ``score`` is the undivided loss per coordinate, in nats for the
        likelihood weighting; ``noise`` is the squared error of the noise, averaged over coordinates
        and over uniform t.
        """
        match = self.match(batch, noise)
        return self.problem.objective(match.density, match.weight, match.error)

    def match(self, batch: Batch, noise: Noise) -> Match:
        """Perturb a batch and compare the network's prediction with the noise that was added.

        The network receives the labels if it has classes. For streams of ``noise`` see
        `ScoreMatching.perturb`.
        """
        problem, labels = self.problem, batch.y if self.network.classes else None
        perturbed = problem.perturb(batch.x.to(self.state_like()), noise, problem.weighting, labels)
        weight = problem.weight(perturbed, problem.weighting)
        return Match(perturbed.t, perturbed.density, weight, self(perturbed))

    def forward(self, batch: PerturbedBatch) -> Tensor:
        """Target less prediction, ``(B, r, *event)``; of all k phases for the whole noise."""
        at = self.parameterisation.at_times(batch.t, batch.kernel, batch.conditional, batch.u)
        predict = self._answer if self.parameterisation.whole else self._driven_noise
        prediction = predict(batch.u, at, batch.y)
        return self.problem.target(batch) - prediction

    def cross_entropy(
        self, z: Tensor, noise: Noise, weight: float | Weigh, *, separate: bool = False
    ) -> CrossEntropy:
        cost = LatentCrossEntropy(self.problem, self, self._frozen_error, self.control)
        return cost(z, noise, weight, separate)

    def check_latents(self) -> None:
        check_latents(self.problem)

    def deactivate(self, inactive: Tensor) -> None:
        """Make channels N(0, 1) where ``inactive (C,)`` is true: the network no longer sees them.

        Raises:
            BadValue: without a Normal part in the score, the only score of inactive channels.
        """
        if not self.parameterisation.normal_part:
            raise BadValue(
                "drop_inactive needs a prior with prediction=residual or mixed=normal: only these "
                "still have a score in an inactive channel"
            )
        self.active.copy_(~inactive.reshape(self.active.shape))

    def _frozen_error(self, batch: PerturbedBatch) -> Tensor:
        """`forward` with all parameters held constant: gradients reach the states only."""
        constant = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, constant, (batch,))

    def _at(self, t: Tensor, u: Tensor) -> Coefficients:
        """Coefficients at t ``()`` or ``(B,)``, for states like u."""
        if t.ndim:
            return self.parameterisation.at_times(t, self.sde.kernel(t), None, u)
        time = float(t)
        return self._coefficients.get(time, partial(self.parameterisation.at_time, time))

    def _answer(self, u: Tensor, at: Coefficients, y: Tensor | None) -> Tensor:
        """The network's output for states ``(B, k, *event)``: ``(B, outputs, *event)``."""
        phases = [part * s for part, s in zip(u.unbind(1), at.scale, strict=True)]
        if self.parameterisation.normal_part:
            phases = [part * self.active for part in phases]
        z = sum(phases[1:], phases[0]) if self.parameterisation.seen == 1 else torch.cat(phases, 1)
        z = z.to(next(self.network.parameters(), z).dtype)
        label = at.label
        c = label.to(z) if isinstance(label, Tensor) else z.new_full((len(z),), label)
        answer = self.network(z, c, y).to(u.dtype)  # under autocast the network returns bfloat16
        return answer.unflatten(1, (self.parameterisation.outputs, self.event[0]))

    def _driven_noise(self, u: Tensor, at: Coefficients, y: Tensor | None) -> Tensor:
        """``eps_d = A u + B answer`` for states ``(B, k, *event)``: ``(B, r, *event)``."""
        answer = self._answer(u, at, y)
        if (
            self.parameterisation.mixed == "normal"
        ):  # (1 - a) eps_n + a eps_network, a = sigmoid(logit)
            normal, own = at.acts
            logit = torch.where(self.active, self.mixing_logit, INACTIVE_LOGIT)
            return mix_noise(normal(u), own(answer), logit)
        if self.parameterisation.normal_part:
            answer = answer * self.active
        return at.acts[0](u, answer) if at.acts else answer
