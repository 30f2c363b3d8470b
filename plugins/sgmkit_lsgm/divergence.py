r"""KL divergence of the encoder's latents from their prior: by group, annealed and balanced.

By coordinate of the coarsest latents it is ``excess - 1/2 log(1 + s^2 |rho|^2)``, rho at t_min,
with the excess of `sgmkit.Prior.cross_entropy` (see `sgmkit.processes.cross_entropy`). Groups
condition on the groups before them, so the sum of their entropies is at most the entropy of all: a
bound stays a bound. Behind a normalising flow the entropy of u at t_min has no closed form. As in
LSGM, the estimate is then ``log q(z_0 | x)`` at the draw, as if the cut-off were without noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgmkit import Kernel, Latents, Noise, Prior
from sgmkit.models import gradient_of
from sgmkit.processes import kernel_entropy, mutual_information
from sgmkit_lsgm.annealing import balance, coefficient

NEWEST_WEIGHT = 0.02
"""Weight of the newest batch in the running means of the channels' divergences.

The means begin at zero. ``channel_share`` is the weight of the batches so far, which tends to one.
"""


@dataclass(frozen=True)
class Cost:
    """The divergence of a batch, and the loss that it adds.

    Args:
        loss: ``()``: the weighted divergence of the batch plus the prior's own loss.
        nats: divergence of each row, ``(B,)``, with weight one, without a graph.
        prior: the prior's own loss, ``()``, without a graph.
    """

    loss: Tensor
    nats: Tensor
    prior: Tensor


def cut_kernel(prior: Prior, t_min: float | None = None) -> Kernel:
    """The kernel of the prior's process at the cut-off, unless ``t_min`` states another time."""
    time = torch.tensor(t_min or prior.t_min, dtype=torch.float64)
    return prior.sde.kernel(time)


def cut_state(kernel: Kernel, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """States at the cut-off, ``u = m z + L eps``, ``(B, k, *event)``, and their noise eps."""
    eps = noise(z.new_empty(len(z), kernel.mean.shape[-1], *z.shape[1:]))
    return kernel.perturb(z, eps), eps


def own_entropy(latents: Latents, kernel: Kernel) -> Tensor:
    """``H(N(., S)) - H(u | x)`` at the cut-off, by coordinate, in nats, like ``latents.z``.

    Without a normalising flow it is ``-1/2 log(1 + s^2 |rho|^2)``; behind one it is estimated by
    ``log q(z_0 | x) + H(N(., S))``.
    """
    if latents.base is None:
        return -mutual_information(kernel, latents.std)
    return latents.log_q + float(kernel_entropy(kernel))


def by_group(nats: Tensor, latents: Latents) -> Tensor:
    """Sums over the coordinates of each group, ``(B, groups)``, from ``(B, C, *sizes)``."""
    parts = nats.split(latents.groups, 1)
    return torch.stack([part.flatten(1).sum(1) for part in parts], 1)


class Divergence(nn.Module):
    """The weighted divergence, and running means of the divergence of each channel.

    Args:
        channels: of the coarsest latents.
        schedule: the low and high weight, start and portion of `annealing.coefficient`.
        balanced: when groups are balanced while the weight is below its high value: never (off),
            while the autoencoder is trained alone (vae), or always.
        separate: draw times for the encoder apart from those of the prior's own loss.
        threshold: nats below which a channel is inactive; 0: none is.
    """

    channel_kl: Tensor
    channel_share: Tensor

    def __init__(
        self,
        channels: int,
        schedule: tuple[float, float, float, float],
        balanced: str,
        separate: bool,
        threshold: float,
    ) -> None:
        super().__init__()
        self.schedule, self.balanced, self.separate = schedule, balanced, separate
        self.threshold = threshold
        self.register_buffer("channel_kl", torch.zeros(channels))
        self.register_buffer("channel_share", torch.zeros(()))

    def forward(
        self,
        prior: Prior,
        code: Sequence[Latents],
        noise: Noise,
        share: float,
        progress: float,
        alone: bool,
    ) -> Cost:
        """The cost of a batch.

        Args:
            prior: of the coarsest latents.
            code: latents of each scale, the coarsest first.
            noise: of the prior's cross entropy.
            share: weight in the loss of one nat of one row, before annealing.
            progress: share of the training that is over.
            alone: whether the autoencoder is trained alone, under N(0, I).
        """
        low, high, start, portion = self.schedule
        rate = coefficient(progress, low, high, start, portion)
        even = self.balanced == "off" or rate >= high or (self.balanced == "vae" and not alone)
        if alone:
            return self._alone(code, share * rate, even)
        self._deactivate_channels(prior)
        top, kernel = code[0], cut_kernel(prior)
        own = own_entropy(top, kernel)
        # The divergence of each group, less the excess of the coarsest latents.
        rest = torch.cat([by_group(own, top), *(by_group(c.divergence, c) for c in code[1:])], 1)
        count, gains = len(top.groups), torch.ones_like(rest[0])

        def balanced_weight(excess: Tensor) -> Tensor:
            nats = rest.detach().clone()
            nats[:, :count] += by_group(excess, top)
            gains.copy_(balance(nats, [len(c.groups) for c in code]))
            pairs = zip(gains[:count], top.groups, strict=True)
            by_channel = torch.cat([gain.expand(channels) for gain, channels in pairs])
            return share * rate * by_channel.reshape(-1, *(1 for _ in top.z.shape[2:]))

        weight = share * rate if even else balanced_weight
        entropy = prior.cross_entropy(top.z, noise, weight, separate=self.separate)
        cost = share * rate * (rest * gains).sum()
        nats = entropy.excess.flatten(1).sum(1) + rest.detach().sum(1)
        # The gradient of the excess is in the prior's loss already; its value is added here.
        loss = gradient_of(cost, entropy.loss) + share * rate * nats.sum()
        return Cost(loss, nats, entropy.loss.detach())

    def _alone(self, code: Sequence[Latents], share: float, even: bool) -> Cost:
        """The cost under N(0, I); in training, the channels' running means take in the batch."""
        groups = torch.cat([by_group(c.divergence, c) for c in code], 1)
        gains = 1.0 if even else balance(groups, [len(c.groups) for c in code])
        if self.training:
            now = code[0].divergence.detach().transpose(0, 1).flatten(1).sum(1) / len(groups)
            self.channel_kl.lerp_(now.to(self.channel_kl), NEWEST_WEIGHT)
            self.channel_share.lerp_(torch.ones_like(self.channel_share), NEWEST_WEIGHT)
        nats = groups.detach().sum(1)
        cost = share * (groups * gains).sum()
        return Cost(gradient_of(cost) + share * nats.sum(), nats, nats.new_zeros(()))

    def _deactivate_channels(self, prior: Prior) -> None:
        """Name to the prior the channels whose divergence is too small to be worth modelling.

        The running means stand still once the prior is trained, so every step names the same ones:
        whether it was done need not be remembered, which would make each step wait for the device.
        """
        if self.threshold and self.training:
            prior.deactivate(self.channel_kl < self.threshold * self.channel_share)
