"""Networks that do not answer zero, and layers written out as formulas."""

import torch

import sgmkit
from sgmkit.noise import seeded


def draw(*shape, dtype=torch.float64, seed=0):
    return sgmkit.SeededNoise(seed, range(shape[0]))(torch.empty(shape, dtype=dtype))


def build(cls, *args, dtype=torch.float64, **options):
    """A network or a part of one that does not answer zero."""
    with seeded(0, "test"):
        net = cls(*args, **options).to(dtype)
    with torch.no_grad():
        for value in net.parameters():
            value += 0.05 * draw(*value.shape, dtype=dtype)
    return net


def images(channels=2, size=(7, 5), count=3, dtype=torch.float64):
    return draw(count, channels, *size, dtype=dtype), torch.linspace(0.1, 0.9, count, dtype=dtype)


def affine(x, layer):
    return x @ layer.weight.mT + layer.bias


def normalised(x, groups, norm):
    """Group norm, written out."""
    parts = x.unflatten(1, (groups, -1))
    mean = parts.mean((2, 3, 4), keepdim=True)
    var = (parts - mean).square().mean((2, 3, 4), keepdim=True)
    out = ((parts - mean) / (var + 1e-5).sqrt()).flatten(1, 2)
    return out * norm.weight[:, None, None] + norm.bias[:, None, None]


def convolved(x, layer):
    """A 3 x 3 convolution, as a sum over its nine shifts."""
    wide = torch.zeros(*x.shape[:2], x.shape[2] + 2, x.shape[3] + 2, dtype=x.dtype)
    wide[..., 1:-1, 1:-1] = x
    out = layer.bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = wide[..., i : i + x.shape[2], j : j + x.shape[3]]
            out = out + torch.einsum("oc,bchw->bohw", layer.weight[..., i, j], part)
    return out


def learn(net, data, steps, rate):
    """Trains to predict the noise in a x + s e with a^2 + s^2 = 1, s = c; the mean squared error.

    Args:
        data: noise to clean data.
    """
    optimiser = torch.optim.Adam(net.parameters(), rate)
    noise, losses = sgmkit.SeededNoise(3, range(64)), []
    for _ in range(steps):
        eps = noise(torch.empty(64, *net.in_shape))
        s = 0.05 + 0.9 * noise.uniform(torch.empty(64))
        wide = s.view(-1, *(1 for _ in net.in_shape))
        z = (1 - wide.square()).sqrt() * data(noise) + wide * eps
        loss = (net(z, s) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses
