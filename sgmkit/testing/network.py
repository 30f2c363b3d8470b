"""Checks of a network: a map of the stated shapes that sees its input, the time and nothing else.

A fresh network may answer zero, as residual ones do. So every parameter is first moved a little,
and all is computed in float64.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from sgmkit.models import Network
from sgmkit.noise import seeded
from sgmkit.testing.compare import largest
from sgmkit.testing.result import Check, CheckFailed, global_rng_untouched, require
from sgmkit.testing.weights import CLOSE, copied, moved, numbers

COUNT = 5
TIMES = (-2.5, -1.0, 0.0, 1e-3, 0.3, 1.0, 2.5)
"""Times that must be told apart: of [0, 1], and of EDM's ``c_noise``."""


def applicable(network: Network) -> Iterator[Check]:
    """The checks that make sense for a network, by its facts."""
    yield from (check_shape, check_input, check_time)
    if network.classes:
        yield check_labels
    yield from (check_dtype, check_rows, check_reproducible, check_state_dict)
    yield from (check_gradient, check_inputs, check_global_rng)


def check_shape(network: Network) -> str:
    """``(B, *in_shape)`` becomes finite ``(B, *out_shape)``, for any B, as it is and later."""
    for net in (copied(network), moved(network)):
        for count in (1, COUNT):
            try:
                out = _answer(net, *_inputs(network, count))
            except Exception as error:
                told = f"it was built for {network.in_shape}, but refuses ({count}, ...): {error}"
                raise CheckFailed(told.splitlines()[0]) from error
            shape, wanted = tuple(out.shape), (count, *network.out_shape)
            require(shape == wanted, f"the output is {shape}, not {wanted}")
            require(bool(out.isfinite().all()), "the output is not finite")
    parameters = sum(value.numel() for value in network.parameters())
    return f"{network.in_shape} to {network.out_shape}, {parameters:,} parameters"


def check_input(network: Network) -> str:
    """Each channel of the input moves the output; each channel of the output moves."""
    net, (z, c) = moved(network).eval(), _inputs(network)
    z.requires_grad_()
    out = net(z, c)
    for place, channel in enumerate(out.detach().transpose(0, 1)):
        moves = largest(channel - channel[:1]) > CLOSE * largest(channel)
        require(moves, f"output channel {place} is the same for every input")
    (slope,) = torch.autograd.grad((out * numbers(out, "probe")).sum(), z)
    for place, channel in enumerate(slope.transpose(0, 1)):
        require(largest(channel) > 0, f"input channel {place} does not move the output")
    return f"{z.shape[1]} channels in, {out.shape[1]} out"


def check_time(network: Network) -> str:
    """Any two times, of [0, 1] and of EDM's ``c_noise``, give two finite answers."""
    net, (z, _) = moved(network), _inputs(network, 1)
    c = torch.tensor(TIMES, dtype=z.dtype)
    out = _answer(net, z.expand(len(TIMES), *network.in_shape), c)
    require(bool(out.isfinite().all()), f"the output is not finite for times {TIMES}")
    for i, j in torch.combinations(torch.arange(len(TIMES))).tolist():
        apart = largest(out[i] - out[j]) > CLOSE * largest(out)
        require(apart, f"times {TIMES[i]:g} and {TIMES[j]:g} give one answer")
    return f"{TIMES[0]:g} to {TIMES[-1]:g}"


def check_labels(network: Network) -> str:
    """Any two labels give two answers, and no label a third."""
    net, (z, c) = moved(network), _inputs(network, 1)
    count = network.classes
    many = z.expand(count, *network.in_shape), c.expand(count)
    out = torch.cat([_answer(net, *many, torch.arange(count)), _answer(net, z, c)])
    for i, j in torch.combinations(torch.arange(count + 1)).tolist():
        apart = largest(out[i] - out[j]) > CLOSE * largest(out)
        names = f"label {i}", f"label {j}" if j < count else "no label"
        require(apart, f"{' and '.join(names)} give one answer")
    return f"{count} classes"


def check_dtype(network: Network) -> str:
    """The dtype of input and weights is that of the output, and of all between."""
    outs = {}
    for dtype in (torch.float64, torch.float32):
        z, c = (value.to(dtype) for value in _inputs(network))
        outs[dtype] = out = _answer(moved(network).to(dtype), z, c)
        require(out.dtype == dtype, f"{dtype} becomes {out.dtype}")
    wide = outs[torch.float64]
    apart = largest(outs[torch.float32].double() - wide) / largest(wide)
    require(apart < 1e-3, f"float32 differs from float64 by {apart:.1e}")
    z, c = _inputs(network)
    nudged = _answer(moved(network), z * (1 + 1e-11), c)
    require(not torch.equal(nudged, wide), "float64 is rounded on the way")
    return f"float32 to {apart:.0e}"


def check_rows(network: Network) -> str:
    """A row does not depend on its neighbours: no statistics over the batch, in training or use."""
    net, (z, c) = moved(network), _inputs(network)
    whole, part = _answer(net, z, c), [3, 1]
    apart = largest(_answer(net, z[part], c[part]) - whole[part]) / largest(whole)
    require(apart < CLOSE, f"rows in a smaller batch differ by {apart:.1e}")
    others = torch.cat([z[:1], 3 - z[1:]])
    ends = []
    for each in (z, others):
        with seeded(0, "rows"), torch.no_grad():  # the same dropout for both
            ends.append(copy.deepcopy(net).train()(each, c)[0])
    later = largest(ends[0] - ends[1]) / largest(whole)
    require(later < CLOSE, f"in training a row moves with the others, by {later:.1e}")
    return f"to {max(apart, later):.0e}"


def check_reproducible(network: Network) -> str:
    """One input gives one answer, bit for bit, once out of training."""
    net, (z, c) = moved(network), _inputs(network)
    require(torch.equal(_answer(net, z, c), _answer(net, z, c)), "two calls give two answers")
    return "bit for bit"


def check_state_dict(network: Network) -> str:
    """The state holds all that the answer depends on: one that loads it answers the same."""
    net, other, inputs = moved(network), copied(network), _inputs(network)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    other.load_state_dict(state)
    good = torch.equal(_answer(net, *inputs), _answer(other, *inputs))
    require(good, "a copy that loads the state answers otherwise")
    return f"{len(state)} tensors"


def check_gradient(network: Network) -> str:
    """A gradient reaches every parameter."""
    net, (z, c) = moved(network).train(), _inputs(network)
    y = torch.arange(COUNT) % network.classes if network.classes else None
    with seeded(0, "gradient"):
        out = net(z, c, y)
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    total = (out * numbers(out, "probe")).sum()
    slopes = torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
    pairs = zip(named, slopes, strict=True)
    without = [name for (name, _), slope in pairs if slope is None or not largest(slope)]
    require(not without, f"no gradient reaches {', '.join(without[:3])}")
    return f"{len(named)} parameters"


def check_inputs(network: Network) -> str:
    """Input and times are left as they were."""
    net, (z, c) = moved(network), _inputs(network)
    before = z.clone(), c.clone()
    for mode in (True, False):
        with seeded(0, "inputs"), torch.no_grad():
            net.train(mode)(z, c)
        require(torch.equal(z, before[0]), "it writes to its input")
        require(torch.equal(c, before[1]), "it writes to the times")
    return "untouched"


def check_global_rng(network: Network) -> str:
    """No global random generator is drawn from or seeded, once out of training."""
    net, inputs = moved(network), _inputs(network)
    with global_rng_untouched():
        _answer(net, *inputs)
    return "untouched"


def _inputs(network: Network, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Input ``(count, *in_shape)`` of unit variance and times ``(count,)``, float64."""
    like = torch.empty(count, *network.in_shape, dtype=torch.float64)
    return numbers(like, "z"), torch.linspace(0.05, 0.95, count, dtype=torch.float64)


def _answer(network: Network, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
    """What the network says out of training."""
    with torch.no_grad():
        return network.eval()(z, c, y)
