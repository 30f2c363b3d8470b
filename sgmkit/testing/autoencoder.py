"""Checks of an autoencoder: its latents have the law that it states, and only the noise is random.

A fresh decoder may return zero, so small random numbers are added to every parameter first. All is
computed in float64 and in evaluation mode, where batch norm has fixed statistics.
"""

import math
from collections.abc import Iterator

import torch

from sgmkit.models import Autoencoder, Latents
from sgmkit.noise import seeded
from sgmkit.testing.codes import COUNT, TracedNoise, code, data, decode, draws, encode, flat, noise
from sgmkit.testing.compare import largest
from sgmkit.testing.result import Check, CheckFailed, NotApplicable, global_rng_untouched, require
from sgmkit.testing.weights import CLOSE, copied, moved, numbers

MOST = 600
"""Largest number of latents of an item for which `check_density` computes a determinant."""


def applicable(autoencoder: Autoencoder) -> Iterator[Check]:
    """The checks that apply to an autoencoder, by its attributes."""
    yield from (check_latents, check_output, check_data, check_code, check_draws, check_density)
    yield from (check_dtype, check_rows, check_reproducible, check_state_dict)
    if autoencoder.averaged:
        yield check_averaged
    yield from (check_gradient, check_inputs, check_global_rng)


def check_latents(autoencoder: Autoencoder) -> str:
    """`encode` maps data of any batch size to one finite `Latents` for each of ``scales``."""
    for net in (copied(autoencoder), moved(autoencoder)):
        for count in (1, COUNT):
            try:
                encoded = encode(net, data(autoencoder, count))
            except Exception as error:
                message = f"built for {net.in_shape}, but encode refuses ({count}, ...): {error}"
                raise CheckFailed(message.splitlines()[0]) from error
            scales = len(net.scales)
            require(
                len(encoded) == scales,
                f"{len(encoded)} Latents for {scales} scales",
            )
            for place, (scale, latents) in enumerate(zip(net.scales, encoded, strict=True)):
                _check_scale(f"scale {place}", latents, (count, *scale))
    return ", ".join(str(tuple(scale)) for scale in autoencoder.scales)


def _check_scale(owner: str, latents: Latents, expected: tuple[int, ...]) -> None:
    """Shapes, values and groups of one scale."""
    parts = {"z": latents.z, "mean": latents.mean, "std": latents.std, "base": latents.base}
    for name, value in parts.items():
        if value is None:
            continue
        shape = tuple(value.shape)
        require(shape == expected, f"{name} of {owner} is {shape}, not {expected}")
        require(bool(value.isfinite().all()), f"{name} of {owner} is not finite")
    require(bool((latents.std > 0).all()), f"std of {owner} is not positive")
    groups, channels = tuple(latents.groups), expected[1]
    good = all(group > 0 for group in groups) and sum(groups) == channels
    require(good, f"groups of {owner} are {groups}, which is no way to part {channels} channels")


def check_output(autoencoder: Autoencoder) -> str:
    """`decode` maps latents of any batch size to finite ``(B, *out_shape)``."""
    for net in (copied(autoencoder), moved(autoencoder)):
        for count in (1, COUNT):
            try:
                out = decode(net, code(autoencoder, count))
            except Exception as error:
                message = f"decode refuses latents ({count}, ...) of its scales: {error}"
                raise CheckFailed(message.splitlines()[0]) from error
            shape, expected = tuple(out.shape), (count, *net.out_shape)
            require(shape == expected, f"the output is {shape}, not {expected}")
            require(bool(out.isfinite().all()), "the output is not finite")
    parameters = sum(value.numel() for value in autoencoder.parameters())
    return f"{autoencoder.in_shape} to {autoencoder.out_shape}, {parameters:,} parameters"


def check_data(autoencoder: Autoencoder) -> str:
    """The means of the latents depend on each channel of the data, and all their channels do."""
    net, x = moved(autoencoder).eval(), data(autoencoder).requires_grad_()
    means, total = [latents.mean for latents in net.encode(x, noise())], x.new_zeros(())
    for place, mean in enumerate(means):
        for channel, values in enumerate(mean.detach().transpose(0, 1)):
            moves = largest(values - values[:1]) > CLOSE * largest(values)
            name = f"latent channel {channel} of scale {place}"
            require(moves, f"the mean of {name} is the same for all data")
        total = total + (mean * numbers(mean, f"probe {place}")).sum()
    (slope,) = torch.autograd.grad(total, x)
    for channel, values in enumerate(slope.transpose(0, 1)):
        require(largest(values) > 0, f"data channel {channel} does not move the latents")
    return f"{x.shape[1]} channels in, {sum(mean.shape[1] for mean in means)} of latents"


def check_code(autoencoder: Autoencoder) -> str:
    """The output depends on each channel of the latents, and all channels of the output do."""
    net = moved(autoencoder).eval()
    z = [each.requires_grad_() for each in code(autoencoder)]
    out = net.decode(z)
    for channel, values in enumerate(out.detach().transpose(0, 1)):
        moves = largest(values - values[:1]) > CLOSE * largest(values)
        require(moves, f"output channel {channel} is the same for all latents")
    total = (out * numbers(out, "probe")).sum()
    slopes = torch.autograd.grad(total, z, allow_unused=True)
    for place, slope in enumerate(slopes):
        require(slope is not None, f"scale {place} of the latents does not move the output")
        for channel, values in enumerate(torch.as_tensor(slope).transpose(0, 1)):
            name = f"latent channel {channel} of scale {place}"
            require(largest(values) > 0, f"{name} does not move the output")
    return f"{sum(each.shape[1] for each in z)} channels of latents, {out.shape[1]} out"


def check_draws(autoencoder: Autoencoder) -> str:
    """Latents are ``mean + std * noise``: ``(z - mean) / std`` are the numbers that were drawn."""
    traced = TracedNoise(noise())
    latents = encode(moved(autoencoder), data(autoencoder), traced)
    based = [each.z if each.base is None else each.base for each in latents]
    white = [(base - each.mean) / each.std for base, each in zip(based, latents, strict=True)]
    whitened, drawn = flat(white).detach(), flat(traced.drawn).detach()
    count, expected = drawn.shape[1], whitened.shape[1]
    require(count == expected, f"it draws {count} numbers for {expected} latents")
    apart = largest(whitened.sort(1).values - drawn.sort(1).values)
    require(apart < CLOSE, f"(z - mean) / std is not what was drawn: off by {apart:.1e}")
    return f"to {apart:.0e}"


def check_density(autoencoder: Autoencoder) -> str:
    """``log q`` is the density of the draw, by the change of variables from all of the noise.

    It is so only if later groups depend on earlier ones, not the other way round, and if flows
    preserve volume.
    """
    size = sum(math.prod(scale) for scale in autoencoder.scales)
    if size > MOST:
        raise NotApplicable(f"{size} latents: a determinant of more than {MOST} rows takes long")
    net, x = moved(autoencoder).eval(), data(autoencoder, 1)
    traced = TracedNoise(noise(range(size)), same_rows=True)
    latents = net.encode(x.expand(size, *net.in_shape), traced)
    z, drawn = flat(draws(latents)), flat(traced.drawn).detach()
    require(drawn.shape == z.shape, f"it draws {drawn.shape[1]} numbers for {size} latents")
    slopes = flat(torch.autograd.grad(z.diagonal().sum(), traced.drawn))
    normal = -0.5 * (drawn[0].square() + math.log(2 * math.pi)).sum()
    expected = normal - torch.linalg.slogdet(slopes).logabsdet
    log_q = sum(float(each.log_q[0].detach().sum()) for each in latents)
    apart = abs(log_q - float(expected)) / size
    require(apart < 1e-6, f"log q is off by {apart:.1e} nats for each latent")
    return f"to {apart:.0e} nats for each of {size} latents"


def check_dtype(autoencoder: Autoencoder) -> str:
    """Latents and output have the dtype of data and weights, and no step in between is narrower."""
    outs = {}
    for dtype in (torch.float64, torch.float32):
        net = moved(autoencoder).to(dtype)
        z = draws(encode(net, data(autoencoder).to(dtype)))
        answers = [*z, decode(net, z)]
        for answer in answers:
            require(answer.dtype == dtype, f"{dtype} becomes {answer.dtype}")
        outs[dtype] = flat(answers)
    wide = outs[torch.float64]
    apart = largest(outs[torch.float32].double() - wide) / largest(wide)
    require(apart < 1e-3, f"float32 differs from float64 by {apart:.1e}")
    net, x, z = moved(autoencoder), data(autoencoder), code(autoencoder)
    outputs = {name: [] for name in ("latents", "output")}
    for factor in (1, 1 + 1e-11):
        outputs["latents"].append(flat(draws(encode(net, factor * x))))
        outputs["output"].append(decode(net, [factor * each for each in z]))
    for name, pair in outputs.items():
        require(not torch.equal(*pair), f"float64 is rounded on the way to the {name}")
    return f"float32 to {apart:.0e}"


def check_rows(autoencoder: Autoencoder) -> str:
    """In evaluation mode a row does not depend on other rows, and its noise depends on its id."""
    net, x, z = moved(autoencoder), data(autoencoder), code(autoencoder)
    part, worst = torch.tensor([3, 1]), 0.0
    latents = [
        flat(draws(encode(net, x[rows], noise(rows)))) for rows in (torch.arange(COUNT), part)
    ]
    outputs = [decode(net, [each[rows] for each in z]) for rows in (torch.arange(COUNT), part)]
    for name, (whole, fewer) in {"latents": latents, "output": outputs}.items():
        apart = largest(fewer - whole[part]) / largest(whole)
        require(apart < CLOSE, f"rows of the {name} in a smaller batch differ by {apart:.1e}")
        worst = max(worst, apart)
    return f"to {worst:.0e}"


def check_averaged(autoencoder: Autoencoder) -> str:
    """With ``averaged``, rows do not mix in training: averaged weights have no batch statistics."""
    x, z, ends = data(autoencoder), code(autoencoder), []
    for sign in (1, -1):
        net = moved(autoencoder).train()
        with seeded(0, "averaged"), torch.no_grad():  # the same dropout for both
            latents = net.encode(torch.cat([x[:1], sign * x[1:]]), noise())
            out = net.decode([torch.cat([each[:1], sign * each[1:]]) for each in z])
        ends.append(torch.cat([flat(draws(latents))[0], out[0].flatten()]))
    apart = largest(ends[0] - ends[1]) / largest(ends[0])
    advice = "averages of weights have no such statistics: set averaged = False"
    require(apart < CLOSE, f"in training a row moves with the others, by {apart:.1e}; {advice}")
    return f"to {apart:.0e}"


def check_reproducible(autoencoder: Autoencoder) -> str:
    """The same noise gives the same draw, bit for bit; other noise changes every channel."""
    net, x = moved(autoencoder), data(autoencoder)
    first, again, other = (draws(encode(net, x, noise(seed=seed))) for seed in (0, 0, 1))
    for place, (a, b, c) in enumerate(zip(first, again, other, strict=True)):
        require(torch.equal(a, b), f"one noise gives two draws of scale {place}")
        for channel, same in enumerate((a == c).transpose(0, 1).flatten(1).any(1).tolist()):
            name = f"latent channel {channel} of scale {place}"
            require(not same, f"another noise does not change {name}")
    require(torch.equal(decode(net, first), decode(net, first)), "one code gives two outputs")
    return "bit for bit"


def check_state_dict(autoencoder: Autoencoder) -> str:
    """A copy that loads the state dict gives the same latents and output."""
    net, other, x, z = moved(autoencoder), copied(autoencoder), data(autoencoder), code(autoencoder)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    other.load_state_dict(state)
    latents = [flat(draws(encode(each, x))) for each in (net, other)]
    outputs = [decode(each, z) for each in (net, other)]
    require(torch.equal(*latents), "a copy that loads the state encodes otherwise")
    require(torch.equal(*outputs), "a copy that loads the state decodes otherwise")
    return f"{len(state)} tensors"


def check_gradient(autoencoder: Autoencoder) -> str:
    """A gradient of latents, their law and the output reaches every parameter."""
    net = moved(autoencoder).eval()  # in training, norms take biases away
    latents = net.encode(data(autoencoder), noise())
    out = [*(part for each in latents for part in (each.z, each.log_q)), net.decode(draws(latents))]
    total = torch.stack([(x * numbers(x, f"probe {i}")).sum() for i, x in enumerate(out)]).sum()
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    slopes = torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
    pairs = zip(named, slopes, strict=True)
    without = [name for (name, _), slope in pairs if slope is None or not largest(slope)]
    require(not without, f"no gradient reaches {', '.join(without[:3])}")
    return f"{len(named)} parameters"


def check_inputs(autoencoder: Autoencoder) -> str:
    """Data and latents are not changed in place."""
    net, x, z = moved(autoencoder), data(autoencoder), code(autoencoder)
    before, code_before = x.clone(), [each.clone() for each in z]
    for mode in (True, False):
        with seeded(0, "inputs"), torch.no_grad():
            net.train(mode).encode(x, noise())
            net.decode(z)
        require(torch.equal(x, before), "it writes to the data")
        require(all(map(torch.equal, z, code_before)), "it writes to the latents")
    return "untouched"


def check_global_rng(autoencoder: Autoencoder) -> str:
    """In evaluation mode no global random generator is drawn from or seeded."""
    net = moved(autoencoder)
    with global_rng_untouched():
        encode(net, data(autoencoder))
        decode(net, code(autoencoder))
    return "untouched"
