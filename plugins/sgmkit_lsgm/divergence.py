r"""KL of the encoder's latents to their prior: by group, annealed, balanced, with idle channels.

By coordinate it is ``excess - 1/2 log(1 + s^2 |rho_e|^2)`` (see `sgmkit.processes.cross_entropy`).
Groups condition on the groups before them, so that the sum of their entropies is at most the
entropy: a bound stays a bound. Behind a normalising flow the entropy of u_e is not known in closed
form; the estimate is then ``log q(z_0 | x)`` at the draw, LSGM's own, which takes the cut-off for
no noise at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgmkit import Kernel, Latents, Noise, Prior
from sgmkit.models import gradient_of
from sgmkit.processes import kernel_entropy, mutual_information
from sgmkit_lsgm.annealing import balance, coefficient

FORGET = 0.02
"""Weight of the newest batch in the running means of the channels' divergences.

They begin at zero: ``channel_share`` is what the batches so far weigh, one after many.
"""


@dataclass(frozen=True)
class Cost:
    """What latents cost.

    Args:
        loss: ``()``: the weighted divergence of the batch, and the prior's own loss.
        nats: ``(B,)``, with weight one, without a graph.
        prior: the prior's own loss, ``()``, without a graph.
    """

    loss: Tensor
    nats: Tensor
    prior: Tensor


def cut_kernel(prior: Prior, t_min: float | None = None) -> Kernel:
    """The kernel at the cut-off."""
    time = torch.tensor(t_min or prior.t_min, dtype=torch.float64)
    return prior.sde.kernel(time)


def at_cut(kernel: Kernel, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """States ``u_e (B, k, *event)`` given latents, and the noise that they were made with."""
    eps = noise(z.new_empty(len(z), kernel.mean.shape[-1], *z.shape[1:]))
    return kernel.perturb(z, eps), eps


def own_entropy(latents: Latents, kernel: Kernel) -> Tensor:
    """``H(N(., S_e)) - H(u_e | x)`` by coordinate, nats; an estimate from z_0 behind a flow."""
    if latents.base is None:
        return -mutual_information(kernel, latents.std)
    return latents.log_q + float(kernel_entropy(kernel))


def by_group(nats: Tensor, latents: Latents) -> Tensor:
    """Sums over the coordinates of each group, ``(B, groups)``, from ``(B, C, *sizes)``."""
    parts = nats.split(latents.groups, 1)
    return torch.stack([part.flatten(1).sum(1) for part in parts], 1)


class Divergence(nn.Module):
    """The divergence's weight over the training, and what is known of the channels.

    Args:
        channels: of the coarsest latents.
        schedule: low, high, start and portion of `annealing.coefficient`.
        balanced: off, vae (while the autoencoder is trained alone) or always.
        separate: times of its own for the encoder.
        threshold: nats below which a channel is idle; 0: none.
    """

    channel_kl: Tensor
    channel_share: Tensor
    joined: Tensor

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
        self.register_buffer("joined", torch.tensor(False))

    def forward(
        self,
        prior: Prior,
        code: Sequence[Latents],
        noise: Noise,
        share: float,
        progress: float,
        alone: bool,
    ) -> Cost:
        """The cost of a batch, each nat of each row counting ``share``."""
        low, high, start, portion = self.schedule
        rate = coefficient(progress, low, high, start, portion)
        even = self.balanced == "off" or rate >= high or (self.balanced == "vae" and not alone)
        if alone:
            return self._alone(code, share * rate, even)
        self._join(prior)
        top, kernel = code[0], cut_kernel(prior)
        own = own_entropy(top, kernel)
        rest = torch.cat([by_group(own, top), *(by_group(c.divergence, c) for c in code[1:])], 1)
        count, gains = len(top.groups), torch.ones_like(rest[0])

        def weigh(excess: Tensor) -> Tensor:
            nats = rest.detach().clone()
            nats[:, :count] += by_group(excess, top)
            gains.copy_(balance(nats, [len(c.groups) for c in code]))
            wide = gains[:count].repeat_interleave(torch.tensor(top.groups, device=gains.device))
            return share * rate * wide.reshape(-1, *(1 for _ in top.z.shape[2:]))

        weight = share * rate if even else weigh
        found = prior.cross_entropy(top.z, noise, weight, separate=self.separate)
        cost = share * rate * (rest * gains).sum()
        nats = found.excess.flatten(1).sum(1) + rest.detach().sum(1)
        # The excess has its gradient in the prior's loss already; here is its value.
        loss = found.loss + gradient_of(cost) + share * rate * nats.sum()
        return Cost(loss, nats, found.loss.detach())

    def _alone(self, code: Sequence[Latents], share: float, even: bool) -> Cost:
        """Under N(0, I)."""
        groups = torch.cat([by_group(c.divergence, c) for c in code], 1)
        gains = 1.0 if even else balance(groups, [len(c.groups) for c in code])
        if self.training:
            now = code[0].divergence.detach().transpose(0, 1).flatten(1).sum(1) / len(groups)
            self.channel_kl.lerp_(now.to(self.channel_kl), FORGET)
            self.channel_share.lerp_(torch.ones_like(self.channel_share), FORGET)
        told = groups.detach().sum(1)
        cost = share * (groups * gains).sum()
        return Cost(gradient_of(cost) + share * told.sum(), told, told.new_zeros(()))

    def _join(self, prior: Prior) -> None:
        """Once the prior takes over: tell it which channels said too little to be modelled."""
        if self.threshold and self.training and not bool(self.joined):
            prior.deactivate(self.channel_kl < self.threshold * self.channel_share)
            self.joined.fill_(True)
