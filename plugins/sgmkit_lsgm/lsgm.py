r"""Latent score-based models: a variational autoencoder whose prior is a score-based model.

The latent of the model is the state ``u_e`` of the prior's process at its cut-off e, given the
encoder's z: what the decoder reads in training is what sampling ends in. See
`sgmkit.processes.cross_entropy` for the cross entropy of it, for every linear SDE.
"""

import math
from collections.abc import Callable, Sequence
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
from sgmkit_lsgm import bounds
from sgmkit_lsgm.annealing import schedule
from sgmkit_lsgm.divergence import Divergence, at_cut, cut_kernel
from sgmkit_lsgm.normal import Normal
from sgmkit_lsgm.observation import Name, observation
from sgmkit_lsgm.pretrained import load_autoencoder
from sgmkit_lsgm.regular import Regulariser

UNITS = 2**40
"""Of the share of a training that is over: whole numbers, which no change of precision rounds."""
Share = Annotated[float, Ge(0), Le(1)]
PRIOR = {
    "name": "sgm/sgm",
    "sde": "sdes/vp",
    "network": "networks/unet",
    "prediction": "residual",
    "weighting": "likelihood",
    "noise_min": 0.0447,
}
"""A residual of the Normal score, which needs no mixing to begin as N(0, I), from the noise on that
the paper's VP has at its cut-off, t = 0.01, whatever the process. The paper's own is
``prediction=noise`` with ``mixed=normal`` and ``control=false``."""


class Lsgm(Model):
    """An autoencoder trained end to end with the prior of its latents (Vahdat et al. 2021).

    The first ``vae_share`` of the steps train the autoencoder alone, under N(0, I); the rest train
    both at once. The encoder and the decoder always see the likelihood weighting, the prior its
    own. Finer scales of latents, where the autoencoder has any, keep N(0, I).

    Raises:
        BadValue: for options that contradict each other, or the data.
    """

    states_law = True
    reached: Tensor

    def __init__(
        self,
        event: tuple[int, ...],
        likelihood: str,
        levels: int | None,
        autoencoder: Callable[..., Autoencoder] = "autoencoders/conv",  # type: ignore[assignment]
        prior: Callable[..., Prior] = PRIOR,  # type: ignore[assignment]
        decoder: Annotated[Name, Doc("law of data given latents; auto: by the data")] = "auto",
        times: Annotated[
            Literal["shared", "separate"],
            Doc("whether the encoder's loss uses the times of the prior's, or its own"),
        ] = "shared",
        vae_share: Annotated[Share, Doc("of the steps: the autoencoder alone")] = 0.25,
        kl_low: Annotated[Share, Doc("weight of the divergence at first")] = 1.0,
        kl_high: Annotated[float, Gt(0), Doc("weight of the divergence at last")] = 1.0,
        kl_start: Annotated[Share, Doc("of the steps, before that weight rises")] = 0.0,
        kl_portion: Annotated[Share, Doc("of the steps, over which it rises")] = 0.0,
        balance: Annotated[
            Literal["off", "vae", "always"],
            Doc("weigh groups of latents while that weight is below kl_high"),
        ] = "vae",
        drop_inactive: Annotated[
            float, Ge(0), Doc("nats below which a channel is N(0, 1) to the prior; 0: none")
        ] = 0.0,
        regularise: Annotated[
            float, Ge(0), Doc("weight of the autoencoder's spectral norms and norm gains, nats")
        ] = 0.0,
        regularise_prior: Annotated[float, Ge(0), Doc("the same of the prior's network")] = 0.0,
        vae_lr: Annotated[
            float, Gt(0), Doc("learning rate of the autoencoder, in units of train.lr")
        ] = 1.0,
        pretrained: Annotated[
            str | None, Doc("run directory whose autoencoder to begin with")
        ] = None,
        frozen: Annotated[bool, Doc("leave the pretrained autoencoder as it is")] = False,
    ) -> None:
        super().__init__()
        if frozen and not pretrained:
            raise BadValue("frozen=true needs pretrained=RUN: an untrained autoencoder is no use")
        self.event, self.pretrained, self.frozen = tuple(event), pretrained, frozen
        self.observation = observation(decoder, self.event, likelihood, levels)
        self.discrete = self.observation.name != "gaussian"
        self.autoencoder = autoencoder(in_shape=self.event, out_shape=self.observation.out_shape)
        self.prior = prior(event=self.autoencoder.scales[0])
        self.prior.check_latents()
        if frozen and isinstance(self.prior, Normal):
            raise BadValue("frozen=true leaves nothing to train: prior=normal has no weights")
        self.t_min = self.prior.t_min
        if drop_inactive and not (vae_share or pretrained):
            raise BadValue("drop_inactive needs vae_share or pretrained, to know what is inactive")
        if drop_inactive:  # a prior that cannot had better say so now
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
        self.register_buffer("reached", torch.zeros((), dtype=torch.int64))
        if frozen:
            self.autoencoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Lsgm":
        """A frozen autoencoder stays in evaluation mode: its batch norms do not move."""
        super().train(mode)
        if self.frozen:
            self.autoencoder.eval()
        return self

    def loss(self, batch: Batch, noise: Noise, progress: float) -> Loss:
        """The negative ELBO per number of an item, plus the prior's own loss.

        Parts, nats per item: ``recon``, ``kl`` (with weight one), their sum ``nelbo``; and
        ``prior``, the prior's own loss, zero while the autoencoder is trained alone.
        """
        x = batch.x.to(self.state_like())
        progress = self._reached(progress)
        alone = progress < self.vae_share or isinstance(self.prior, Normal)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            code = self.autoencoder.encode(x, noise.stream("encode"))
            told = self.autoencoder.decode(self._seen(code, noise, alone))
            recon = -self.observation.log_prob(told, x)
        share = 1 / (len(x) * math.prod(self.event))
        told_prior = noise.stream("prior")
        cost = self.divergence(self.prior, code, told_prior, share, progress, alone)
        total = share * recon.sum() + cost.loss
        for part in self.regularisers:
            total = total + part()
        kl, shown = cost.nats.mean(), recon.detach().mean()
        return Loss(total, {"recon": shown, "kl": kl, "nelbo": shown + kl, "prior": cost.prior})

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The prior's parameters, and the autoencoder's with their own rate."""
        own, theirs = list(self.prior.parameters()), list(self.autoencoder.parameters())
        groups = [{"params": own}, {"params": theirs, "scale": self.vae_lr}]
        return [group for group in groups if group["params"]]

    def averaged_parameters(self) -> dict[str, nn.Parameter]:
        """All that is trained, less an autoencoder whose averages are no good."""
        told = super().averaged_parameters()
        if self.autoencoder.averaged:
            return told
        return {name: p for name, p in told.items() if not name.startswith("autoencoder.")}

    def begin(self) -> None:
        """Take the autoencoder of ``pretrained``; a complaint if it is of another shape."""
        if not self.pretrained:
            return
        load_autoencoder(self, self.pretrained)
        known = self.vae_share or bool(self.divergence.channel_share)
        if self.divergence.threshold and not known:
            told = f"pretrained '{self.pretrained}' never trained its autoencoder alone"
            raise BadValue(f"drop_inactive cannot know what is inactive: {told}; give vae_share")

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
        return self.autoencoder.encode(x, _Still())[0].mean

    def decode(self, u: Tensor, noise: Noise | None = None) -> Tensor:
        """The decoder's mean; finer latents are drawn with ``noise``, or zero without."""
        return self.observation.mean(self._told(u, noise))

    def observe(self, u: Tensor, noise: Noise) -> Tensor:
        """A draw from what the decoder says."""
        return self.observation.sample(self._told(u, noise), noise.stream("observe"))

    def flow_nll(
        self, x: Tensor, noise: Noise, t_min: float, options: FlowOptions, y: Tensor | None = None
    ) -> Likelihood:
        """The negative ELBO whose prior is the probability flow's density: kind ``nelbo-ode``."""
        return bounds.flow(self, x, noise, t_min, 1, options, y)

    def bound(
        self, x: Tensor, noise: Noise, kind: Bound, draws: int = 1, **options: Any
    ) -> Likelihood:
        """See `sgmkit.Model.bound`."""
        return bounds.bound(self, x.to(self.state_like()), noise, kind, draws, **options)

    def _reached(self, progress: float) -> float:
        """The furthest share of a training so far: one that is made longer goes on in its stage."""
        progress = max(progress, int(self.reached) / UNITS)
        if self.training:
            self.reached.fill_(int(progress * UNITS))
        return progress

    def _seen(self, code: Sequence[Latents], noise: Noise, alone: bool) -> list[Tensor]:
        """What the decoder reads: phase 0 at the cut-off of the coarsest latents, and the finer."""
        first = code[0].z
        if not alone and code[0].base is None:
            first = at_cut(cut_kernel(self.prior), first, noise.stream("cut"))[0][:, 0]
        return [first, *(latents.z for latents in code[1:])]

    def _told(self, u: Tensor, noise: Noise | None) -> Tensor:
        like = u[:, 0]
        finer = [like.new_zeros(len(u), *shape) for shape in self.autoencoder.scales[1:]]
        if noise is not None:
            finer = [noise.stream("finer")(part) for part in finer]
        self.decoder_calls += 1
        return self.autoencoder.decode([like, *finer])


class _Still(Noise):
    """No noise: what is drawn is the mean."""

    def __call__(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.full_like(like, 0.5)

    def select(self, index: Tensor) -> "_Still":
        return self

    def stream(self, name: str) -> "_Still":
        return self
