r"""Latent score-based models: a variational autoencoder whose prior is a score-based model.

The latent of the model is the state ``u = m z + L eps`` of the prior's process at its cut-off
t_min, given the encoder's z. The decoder reads phase 0 of u at t_min, in training as after
sampling, except while the autoencoder is trained alone, and behind a normalising flow, where it
reads z. For the cross entropy of u at t_min, for every linear SDE, see
`sgmkit.processes.cross_entropy`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from typing_extensions import Doc

from sgmkit import (
    Autoencoder,
    BadValue,
    Batch,
    Latents,
    Likelihood,
    LinearSDE,
    Loss,
    Model,
    Noise,
    Prior,
    Reverse,
)
from sgmkit.likelihoods import FlowOptions
from sgmkit.models import Bound
from sgmkit_lsgm.annealing import schedule
from sgmkit_lsgm.bounds import flow_bound, likelihood_bound
from sgmkit_lsgm.divergence import Divergence, cut_kernel, cut_state
from sgmkit_lsgm.latent_variable import LatentVariableModel
from sgmkit_lsgm.observation import Name, observation
from sgmkit_lsgm.pretrained import check_same_data, copy_state, same_outputs
from sgmkit_lsgm.regular import Regulariser

ADOPTED = ("autoencoder.", "divergence.channel_")
"""Prefixes of the tensors that a new training takes over from a pretrained run."""
REACHED_UNIT = 2.0**-40
"""Unit of ``reached``, the progress that earlier versions kept in the model's state."""
Share = Annotated[float, Ge(0), Le(1)]
PRIOR = {
    "name": "sgm/sgm",
    "sde": "sdes/vp",
    "network": "networks/unet",
    "prediction": "residual",
    "weighting": "likelihood",
    "noise_min": 0.0447,
}
"""The default prior. Its network predicts a residual beside the score of Normal data, so that it
begins as N(0, I) without mixing. Its cut-off is where the noise is that of the paper's VP at
t = 0.01, whatever the process. The paper's own prior has ``prediction=noise``, ``mixed=normal`` and
``control=false``."""


class Lsgm(Model):
    """An autoencoder trained end to end with the prior of its latents (Vahdat et al. 2021).

    The first ``vae_share`` of the steps train the autoencoder alone, under the prior N(0, I); the
    other steps train both at once. The loss of the encoder and decoder always has the likelihood
    weighting, that of the prior its own. Finer scales of latents, where the autoencoder has any,
    keep the prior N(0, I).

    Raises:
        BadValue: for options that contradict each other, or the data.
    """

    states_law = True
    retired = ("reached", "divergence.joined")

    def __init__(
        self,
        event: tuple[int, ...],
        likelihood: str,
        levels: int | None,
        autoencoder: Annotated[
            Callable[..., Autoencoder], Doc("encoder and decoder of the latents")
        ] = "autoencoders/conv",  # type: ignore[assignment]
        prior: Annotated[
            Callable[..., Prior], Doc("score-based model of the coarsest latents")
        ] = PRIOR,  # type: ignore[assignment]
        decoder: Annotated[
            Name, Doc("law of the data given the latents; auto: the one that suits the data")
        ] = "auto",
        times: Annotated[
            Literal["shared", "separate"],
            Doc(
                "shared: the encoder's loss uses the times drawn for the prior's loss; separate: "
                "it draws its own"
            ),
        ] = "shared",
        vae_share: Annotated[
            Share, Doc("share of the steps that train the autoencoder alone")
        ] = 0.25,
        kl_low: Annotated[Share, Doc("weight of the divergence at the beginning")] = 1.0,
        kl_high: Annotated[float, Gt(0), Doc("weight of the divergence at the end")] = 1.0,
        kl_start: Annotated[Share, Doc("share of the steps before the weight rises")] = 0.0,
        kl_portion: Annotated[Share, Doc("share of the steps over which it rises")] = 0.0,
        balance: Annotated[
            Literal["off", "vae", "always"],
            Doc(
                "balance the KL of groups of latents (NVAE): never (off), while the autoencoder "
                "is trained alone (vae), or always; in each case only until the weight reaches "
                "kl_high"
            ),
        ] = "vae",
        drop_inactive: Annotated[
            float,
            Ge(0),
            Doc("channels whose KL is below this many nats get the prior N(0, 1); 0 keeps all"),
        ] = 0.0,
        regularise: Annotated[
            float, Ge(0), Doc("penalty in nats on the autoencoder's spectral norms and norm gains")
        ] = 0.0,
        regularise_prior: Annotated[
            float, Ge(0), Doc("the same penalty for the prior's network")
        ] = 0.0,
        vae_lr: Annotated[float, Gt(0), Doc("factor on train.lr for the autoencoder")] = 1.0,
        pretrained: Annotated[
            str | None, Doc("run directory whose autoencoder the training begins with")
        ] = None,
        frozen: Annotated[bool, Doc("do not train the pretrained autoencoder")] = False,
    ) -> None:
        super().__init__()
        if frozen and not pretrained:
            raise BadValue("frozen=true needs pretrained=RUN: an untrained autoencoder is no use")
        self.event, self.pretrained, self.frozen = tuple(event), pretrained, frozen
        self.observation = observation(decoder, self.event, likelihood, levels)
        self.discrete = self.observation.discrete
        self.autoencoder = autoencoder(in_shape=self.event, out_shape=self.observation.out_shape)
        self.prior = prior(event=self.autoencoder.scales[0])
        self.prior.check_latents()
        if frozen and not self.prior.trainable:
            raise BadValue("frozen=true leaves nothing to train: prior=normal has no weights")
        self.t_min = self.prior.t_min
        if drop_inactive and not (vae_share or pretrained):
            raise BadValue(
                "drop_inactive compares KL divergences measured while the autoencoder is trained "
                "alone: set vae_share > 0, or pretrained=RUN"
            )
        if drop_inactive:  # raises for a prior without a score in inactive channels
            self.prior.deactivate(torch.zeros(self.prior.event[0], dtype=torch.bool))
        self.vae_share = 0.0 if frozen else vae_share
        self.partial = self.vae_share > 0
        self.vae_lr = vae_lr
        self.divergence = Divergence(
            self.autoencoder.scales[0][0],
            schedule(kl_low, kl_high, kl_start, kl_portion),
            balance,
            times == "separate",
            drop_inactive,
        )
        self.regularisers = nn.ModuleList()
        for part, rate in ((self.autoencoder, regularise), (self.prior, regularise_prior)):
            if rate:
                self.regularisers.append(Regulariser(part, rate / math.prod(self.event)))
        if frozen:
            self.autoencoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Lsgm":
        """Set the mode; a frozen autoencoder stays in evaluation mode, for its batch norms."""
        super().train(mode)
        if self.frozen:
            self.autoencoder.eval()
        return self

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """The negative ELBO of an item, divided by its number of values, and further terms.

        The KL in it is weighted by the schedule; added are the prior's own loss and the penalties
        of ``regularise`` and ``regularise_prior``.

        Parts, in nats per item: ``recon``, ``kl`` (with weight one) and their sum ``nelbo``; and
        ``prior``, the prior's own loss, zero while the autoencoder is trained alone.
        """
        x = batch.x.to(self.state_like())
        alone = progress < self.vae_share or not self.prior.trainable
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            code = self.autoencoder.encode(x, noise.stream("encode"))
            recon = self.latent_variable.reconstruction(x, self._decoded(code, noise, alone))
        share = 1 / (len(x) * math.prod(self.event))
        prior_noise = noise.stream("prior")
        cost = self.divergence(self.prior, code, prior_noise, share, progress, alone)
        total = share * recon.sum() + cost.loss
        for part in self.regularisers:
            total = total + part()
        kl, mean_recon = cost.nats.mean(), recon.detach().mean()
        parts = {"recon": mean_recon, "kl": kl, "nelbo": mean_recon + kl, "prior": cost.prior}
        return Loss(total, parts)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The prior's parameters, and the autoencoder's with their own rate."""
        prior, autoencoder = list(self.prior.parameters()), list(self.autoencoder.parameters())
        groups = [{"params": prior}, {"params": autoencoder, "scale": self.vae_lr}]
        return [group for group in groups if group["params"]]

    def averaged_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that are trained, without an autoencoder whose averages are of no use."""
        parameters = super().averaged_parameters()
        if self.autoencoder.averaged:
            return parameters
        return {n: p for n, p in parameters.items() if not n.startswith("autoencoder.")}

    def adopt(self, other: Model, options: Mapping[str, object]) -> None:
        """Take over the autoencoder of ``other``, and the divergence of each of its channels.

        Raises:
            BadValue: for a model without an autoencoder, or with one that is another function: of
                data or latents of another shape, with another decoder, or with other options.
        """
        source = f"pretrained '{self.pretrained}'"
        advice = "give model.autoencoder the same options"
        if not isinstance(other, Lsgm):
            raise BadValue(f"{source} has no autoencoder: name a run of the model lsgm")
        differs = f"{source} has another autoencoder, "
        check_same_data(self.latent_variable, other.latent_variable, differs)
        differs += str(options["autoencoder"])
        copy_state(self, other, ADOPTED, differs, advice)
        if not same_outputs(self.autoencoder, other.autoencoder):
            raise BadValue(
                f"{differs}: with the pretrained weights this autoencoder computes something else, "
                f"so an option that changes no shape differs; {advice}"
            )
        measured = self.vae_share or bool(self.divergence.channel_share)
        if self.divergence.threshold and not measured:
            raise BadValue(
                "drop_inactive compares KL divergences measured while the autoencoder is trained "
                f"alone, and {source} never trained it alone: set vae_share > 0"
            )

    def recorded_progress(self, retired: Mapping[str, Tensor]) -> float:
        """See `sgmkit.Model.recorded_progress`: earlier versions kept it as ``reached``."""
        return int(retired["reached"]) * REACHED_UNIT if "reached" in retired else 0.0

    @property
    def latent_variable(self) -> LatentVariableModel:
        """The model without its training: what likelihood bounds need."""
        return LatentVariableModel(self.autoencoder, self.prior, self.observation)

    @property
    def sde(self) -> LinearSDE:
        """The process of the prior, over the coarsest latents."""
        return self.prior.sde

    def state_event(self) -> tuple[int, ...]:
        return self.autoencoder.scales[0]

    def reverse(self, noise: Noise, y: Tensor | None = None) -> Reverse:
        return self.prior.reverse(noise, y)

    def start_exactly(self, noise: Noise) -> Tensor:
        return self.prior.start_exactly(noise)

    def encode(self, x: Tensor) -> Tensor:
        """Means of the coarsest latents, ``(B, C, *sizes)``, of data ``(B, *event)``."""
        return self.autoencoder.encode(x, _ZeroNoise())[0].mean

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        """Mean of the data's law; finer latents are drawn with ``noise``, or zero without it."""
        return self.observation.mean(self._decoder_output(u, noise))

    def observe(self, u: Tensor, noise: Noise) -> Tensor:
        """A draw from the data's law."""
        return self.observation.sample(self._decoder_output(u, noise), noise.stream("observe"))

    def flow_nll(
        self, x: Tensor, noise: Noise, t_min: float, options: FlowOptions, y: Tensor | None = None
    ) -> Likelihood:
        """The negative ELBO whose prior is the probability flow's density: kind ``nelbo-ode``."""
        return flow_bound(self.latent_variable, x, noise, t_min, 1, options, y)

    def bound(
        self, x: Tensor, noise: Noise, kind: Bound, draws: int = 1, **options: Any
    ) -> Likelihood:
        """See `sgmkit.Model.bound`."""
        x = x.to(self.state_like())
        return likelihood_bound(self.latent_variable, x, noise, kind, draws, **options)

    def _decoded(self, code: Sequence[Latents], noise: Noise, alone: bool) -> list[Tensor]:
        """The latents that the decoder reads, the coarsest scale first.

        Of the coarsest scale it is phase 0 of the state at the cut-off, but z itself while the
        autoencoder is trained alone, and behind a normalising flow.
        """
        first = code[0].z
        if not alone and code[0].base is None:
            first = cut_state(cut_kernel(self.prior), first, noise.stream("cut"))[0][:, 0]
        return [first, *(latents.z for latents in code[1:])]

    def _decoder_output(self, u: Tensor, noise: Noise | None) -> Tensor:
        """Parameters of the data's law, ``(B, *out_shape)``, from states at the cut-off."""
        first = u[:, 0]
        finer = [first.new_zeros(len(u), *shape) for shape in self.autoencoder.scales[1:]]
        if noise is not None:
            finer = [noise.stream("finer")(part) for part in finer]
        self.decoder_calls += 1
        return self.autoencoder.decode([first, *finer])


class _ZeroNoise(Noise):
    """Zeros for Normal numbers, so that every draw is its mean."""

    def __call__(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.full_like(like, 0.5)

    def select(self, index: Tensor) -> "_ZeroNoise":
        return self

    def stream(self, name: str) -> "_ZeroNoise":
        return self
