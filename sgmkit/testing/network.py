"""Checks of a network: a map between the stated shapes that depends on its input and the time only.

A freshly initialised network may return zero, as residual ones do, so parameters are slightly
perturbed first. All is computed in float64.
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
"""Rows in a batch."""
TIMES = (-2.5, -1.0, 0.0, 1e-3, 0.3, 1.0, 2.5)
"""Times that must have different outputs: some in [0, 1], and the range of EDM's ``c_noise``."""


def applicable(network: Network) -> Iterator[Check]:
    """The checks that apply to a network, by its declared facts."""
    yield from (check_shape, check_input, check_time)
    if network.classes:
        yield check_labels
    yield from (check_dtype, check_rows, check_reproducible, check_state_dict)
    yield from (check_gradient, check_inputs, check_global_rng)


def check_shape(network: Network) -> str:
    """``(B, *in_shape)`` becomes finite ``(B, *out_shape)`` for any B, fresh and trained."""
    for net in (copied(network), moved(network)):
        for count in (1, COUNT):
            try:
                out = _output(net, *_inputs(network, count))
            except Exception as error:
                message = (
                    f"it was built for {network.in_shape}, but refuses ({count}, ...): {error}"
                )
                raise CheckFailed(message.splitlines()[0]) from error
            shape, expected = tuple(out.shape), (count, *network.out_shape)
            require(shape == expected, f"the output is {shape}, not {expected}")
            require(bool(out.isfinite().all()), "the output is not finite")
    parameters = sum(value.numel() for value in network.parameters())
    return f"{network.in_shape} to {network.out_shape}, {parameters:,} parameters"


def check_input(network: Network) -> str:
    """The output depends on each input channel, and each output channel depends on the input."""
    net, (z, c) = moved(network).eval(), _inputs(network)
    z.requires_grad_()
    out = net(z, c)
    for index, channel in enumerate(out.detach().transpose(0, 1)):
        moves = largest(channel - channel[:1]) > CLOSE * largest(channel)
        require(moves, f"output channel {index} is the same for every input")
    (slope,) = torch.autograd.grad((out * numbers(out, "probe")).sum(), z)
    for index, channel in enumerate(slope.transpose(0, 1)):
        require(largest(channel) > 0, f"the output does not depend on input channel {index}")
    return f"{z.shape[1]} channels in, {out.shape[1]} out"


def check_time(network: Network) -> str:
    """Any two times give two outputs, also those outside [0, 1] that EDM's ``c_noise`` uses."""
    net, (z, _) = moved(network), _inputs(network, 1)
    c = torch.tensor(TIMES, dtype=z.dtype)
    out = _output(net, z.expand(len(TIMES), *network.in_shape), c)
    require(bool(out.isfinite().all()), f"the output is not finite for times {TIMES}")
    for i, j in torch.combinations(torch.arange(len(TIMES))).tolist():
        apart = largest(out[i] - out[j]) > CLOSE * largest(out)
        require(apart, f"times {TIMES[i]:g} and {TIMES[j]:g} give the same output")
    return f"{TIMES[0]:g} to {TIMES[-1]:g}"


def check_labels(network: Network) -> str:
    """Any two labels give two outputs, and no label gives a third."""
    net, (z, c) = moved(network), _inputs(network, 1)
    count = network.classes
    many = z.expand(count, *network.in_shape), c.expand(count)
    out = torch.cat([_output(net, *many, torch.arange(count)), _output(net, z, c)])
    for i, j in torch.combinations(torch.arange(count + 1)).tolist():
        apart = largest(out[i] - out[j]) > CLOSE * largest(out)
        names = f"label {i}", f"label {j}" if j < count else "no label"
        require(apart, f"{' and '.join(names)} give the same output")
    return f"{count} classes"


def check_dtype(network: Network) -> str:
    """The output, and all in between, has the dtype of input and weights."""
    outs = {}
    for dtype in (torch.float64, torch.float32):
        z, c = (value.to(dtype) for value in _inputs(network))
        outs[dtype] = out = _output(moved(network).to(dtype), z, c)
        require(
            out.dtype == dtype,
            f"an input of {dtype} gives an output of {out.dtype}: make tensors in the dtype of z",
        )
    wide = outs[torch.float64]
    apart = largest(outs[torch.float32].double() - wide) / largest(wide)
    require(apart < 1e-3, f"float32 differs from float64 by {apart:.1e}")
    z, c = _inputs(network)
    nudged = _output(moved(network), z * (1 + 1e-11), c)
    require(
        not torch.equal(nudged, wide),
        "float64 is rounded on the way: some step computes in float32",
    )
    return f"float32 to {apart:.0e}"


def check_rows(network: Network) -> str:
    """A row does not depend on the rest of its batch, in training or after: no batch norm."""
    net, (z, c) = moved(network), _inputs(network)
    whole, part = _output(net, z, c), [3, 1]
    apart = largest(_output(net, z[part], c[part]) - whole[part]) / largest(whole)
    require(apart < CLOSE, f"rows in a smaller batch differ by {apart:.1e}: no row may use another")
    others = torch.cat([z[:1], 3 - z[1:]])
    ends = []
    for each in (z, others):
        with seeded(0, "rows"), torch.no_grad():  # the same dropout for both
            ends.append(copy.deepcopy(net).train()(each, c)[0])
    later = largest(ends[0] - ends[1]) / largest(whole)
    require(
        later < CLOSE, f"in training a row changes with the others, by {later:.1e}: no batch norm"
    )
    return f"to {max(apart, later):.0e}"


def check_reproducible(network: Network) -> str:
    """In eval mode an input always gives the same output, bit for bit."""
    net, (z, c) = moved(network), _inputs(network)
    require(
        torch.equal(_output(net, z, c), _output(net, z, c)),
        "two calls with one input give two outputs",
    )
    return "bit for bit"


def check_state_dict(network: Network) -> str:
    """`state_dict` holds all that the output depends on: a copy that loads it gives the same."""
    net, other, inputs = moved(network), copied(network), _inputs(network)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    other.load_state_dict(state)
    good = torch.equal(_output(net, *inputs), _output(other, *inputs))
    require(
        good,
        "a copy that loads the state gives another output: make all tensors parameters or buffers",
    )
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
    require(
        not without,
        f"no gradient reaches {', '.join(without[:3])}: use each parameter, or freeze it",
    )
    return f"{len(named)} parameters"


def check_inputs(network: Network) -> str:
    """The network does not modify its input or the times."""
    net, (z, c) = moved(network), _inputs(network)
    before = z.clone(), c.clone()
    for mode in (True, False):
        with seeded(0, "inputs"), torch.no_grad():
            net.train(mode)(z, c)
        require(torch.equal(z, before[0]), "it modifies its input: work on a copy")
        require(torch.equal(c, before[1]), "it modifies the times: work on a copy")
    return "untouched"


def check_global_rng(network: Network) -> str:
    """In eval mode no global random generator is used or seeded."""
    net, inputs = moved(network), _inputs(network)
    with global_rng_untouched():
        _output(net, *inputs)
    return "untouched"


def _inputs(network: Network, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Input ``(count, *in_shape)`` of unit variance and times ``(count,)``, float64."""
    like = torch.empty(count, *network.in_shape, dtype=torch.float64)
    return numbers(like, "z"), torch.linspace(0.05, 0.95, count, dtype=torch.float64)


def _output(network: Network, z: Tensor, c: Tensor, y: Tensor | None = None) -> Tensor:
    """The output in eval mode."""
    with torch.no_grad():
        return network.eval()(z, c, y)
