"""Networks with one defect each, which the suite must find; and how it builds a network."""

from collections.abc import Callable

import pytest
import torch
from support.mutants import finds
from torch import nn

from sgmkit import BadValue, Network
from sgmkit.testing import checks, run_checks
from sgmkit.testing.reference import SUPPLIED, ReferenceModel, ReferenceNetwork
from sgmkit.testing.suite import build


class OfTheInput(ReferenceNetwork):
    """The two shapes mixed up."""

    def forward(self, z, c, y=None):
        return super().forward(z, c, y).repeat(1, 2, 1, 1)


class Squeezed(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, c, y).squeeze()


class OneRank(ReferenceNetwork):
    """Made for vectors, but refuses nothing."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.hidden = nn.Linear(in_shape[0] + 1, 16)


class Overflowing(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, c, y) / 0


class OnePhase(ReferenceNetwork):
    """The channels of the second phase forgotten."""

    def forward(self, z, c, y=None):
        return super().forward(torch.cat([z[:, :2], 0 * z[:, 2:]], 1), c, y)


class HalfAnswer(ReferenceNetwork):
    def forward(self, z, c, y=None):
        out = super().forward(z, c, y)
        return torch.cat([out[:, :1], 0 * out[:, 1:]], 1)


class Timeless(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, torch.zeros_like(c), y)


class Clamped(ReferenceNetwork):
    """Takes every time for one of [0, 1]."""

    def forward(self, z, c, y=None):
        return super().forward(z, c.clamp(0, 1), y)


class Periodic(ReferenceNetwork):
    """A lowest frequency whose period is shorter than the range of times."""

    def forward(self, z, c, y=None):
        return super().forward(z, torch.sin(torch.pi * c).round(decimals=9), y)


class Logarithmic(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, c.log(), y)


class Unlabelled(ReferenceNetwork):
    classes = 3


class NoneIsZero(ReferenceNetwork):
    """No label means the first one."""

    classes = 3

    def forward(self, z, c, y=None):
        return super().forward(z, c if y is None else c + y)


class Narrow(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, c, y).float()


class Rounded(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z.float().to(z), c, y)


class BatchNorm(ReferenceNetwork):
    """Harmless out of training, where its statistics are fixed."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.norm = nn.BatchNorm2d(in_shape[0])

    def forward(self, z, c, y=None):
        return super().forward(self.norm(z), c, y)


class Centring(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z - z.mean(0), c, y)


class AlwaysDropout(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(nn.functional.dropout(z, 0.5), c, y)


class Calibrated(ReferenceNetwork):
    """Something learned that is kept outside the state."""

    scale = None

    def forward(self, z, c, y=None):
        self.scale = self.leave.bias.detach().clone() if self.scale is None else self.scale
        return super().forward(z, c, y) + self.scale.to(z).view(1, *self.out_shape)

    def load_state_dict(self, state, strict=True, assign=False):
        self.scale = torch.zeros_like(self.leave.bias)
        return super().load_state_dict(state, strict, assign)


class Idle(ReferenceNetwork):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.idle = nn.Linear(2, 2)


class Multiplied(ReferenceNetwork):
    """A parameter whose gradient is there, and always zero."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__(in_shape, out_shape)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, z, c, y=None):
        return super().forward(z, c, y) + 0 * self.gain


class Scaling(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z.mul_(0.5) if not z.requires_grad else z, c, y)


class Shifting(ReferenceNetwork):
    def forward(self, z, c, y=None):
        return super().forward(z, c.add_(1), y)


class Probing(ReferenceNetwork):
    def forward(self, z, c, y=None):
        torch.rand(())  # noqa: TID251
        return super().forward(z, c, y)


@pytest.mark.parametrize(
    ("mutant", "name", "message"),
    [
        (OfTheInput, "check_shape", "the output is (1, 4, 8, 8), not (1, 2, 8, 8)"),
        (Squeezed, "check_shape", "the output is (2, 8, 8), not (1, 2, 8, 8)"),
        (OneRank, "check_shape", "it was built for (4, 8, 8), but refuses (1, ...): "),
        (Overflowing, "check_shape", "the output is not finite"),
        (OnePhase, "check_input", "the output does not depend on input channel 2"),
        (HalfAnswer, "check_input", "output channel 1 is the same for every input"),
        (Timeless, "check_time", "times -2.5 and -1 give the same output"),
        (Clamped, "check_time", "times -2.5 and -1 give the same output"),
        (Periodic, "check_time", "times -1 and 0 give the same output"),
        (Logarithmic, "check_time", "the output is not finite for times"),
        (Unlabelled, "check_labels", "label 0 and label 1 give the same output"),
        (NoneIsZero, "check_labels", "label 0 and no label give the same output"),
        (Narrow, "check_dtype", "an input of torch.float64 gives an output of torch.float32"),
        (Rounded, "check_dtype", "float64 is rounded on the way"),
        (BatchNorm, "check_rows", "in training a row changes with the others, by"),
        (Centring, "check_rows", "rows in a smaller batch differ by"),
        (AlwaysDropout, "check_reproducible", "two calls with one input give two outputs"),
        (AlwaysDropout, "check_global_rng", "it uses a global random generator"),
        (Calibrated, "check_state_dict", "a copy that loads the state gives another output"),
        (Idle, "check_gradient", "no gradient reaches idle.weight, idle.bias"),
        (Multiplied, "check_gradient", "no gradient reaches gain"),
        (Scaling, "check_inputs", "it modifies its input"),
        (Shifting, "check_inputs", "it modifies the times"),
        (Probing, "check_global_rng", "it uses a global random generator"),
    ],
)
def test_network_mutants(mutant, name, message):
    finds("network", build("network", mutant), name, message)


def test_checks_follow_the_fact_of_labels():
    names = {check.__name__ for check in checks("network", build("network", ReferenceNetwork))}
    assert "check_labels" not in names
    assert "check_labels" in {x.__name__ for x in checks("network", build("network", Unlabelled))}


# How the suite builds a network -----------------------------------------------------------


class Vectors(ReferenceNetwork):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        (_,) = in_shape
        super().__init__(in_shape, out_shape)


class Hopeless(ReferenceNetwork):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        raise BadValue(f"no {len(in_shape)}-D shapes")


class Wrapping(ReferenceModel):
    def __init__(self, event: tuple[int, ...], network: Callable[..., Network]):
        super().__init__()
        self.network = network(in_shape=event, out_shape=event)


class Undefaulted(ReferenceNetwork):
    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...], depth: list[int]):
        super().__init__(in_shape, out_shape)


def test_images_are_tried_before_vectors():
    image, vector = SUPPLIED["network"]
    assert build("network", ReferenceNetwork).in_shape == image["in_shape"]
    net = build("network", Vectors)
    assert (net.in_shape, net.out_shape) == (vector["in_shape"], vector["out_shape"])
    assert build("network", "mlp").in_shape == vector["in_shape"]


def test_shapes_may_be_stated():
    assert build("network", ReferenceNetwork, in_shape=(9,), out_shape=(3,)).in_shape == (9,)
    net = build("network", "unet:channels=8", in_shape=(3, 9, 7), out_shape=(1, 9, 7))
    assert (net.in_shape, net.out_shape, net.enter.out_channels) == ((3, 9, 7), (1, 9, 7), 8)
    with pytest.raises(BadValue, match=r"in_shape must be \(channels, height, width\), not \(9,\)"):
        build("network", "unet", in_shape=(9,), out_shape=(9,))


def test_each_refusal_is_reported():
    with pytest.raises(BadValue) as caught:
        build("network", Hopeless)
    assert str(caught.value) == "no 3-D shapes; no 1-D shapes"
    with pytest.raises(BadValue) as caught:
        build("network", Undefaulted)
    assert (
        str(caught.value)
        == "network 'Undefaulted' cannot be built without in_shape, out_shape, depth"
    )
    (result,) = run_checks("network", "unet", channels=0)
    assert (result.check, result.ok) == ("check_builds", False)
    assert result.message == (
        "option 'channels' of network 'unet': input should be greater than 0, not 0"
    )


def test_initial_weights_of_the_suite_are_its_own():
    before = torch.get_rng_state()
    one, two = (build("network", "mlp") for _ in range(2))
    assert torch.equal(one.enter.weight, two.enter.weight)
    assert torch.equal(before, torch.get_rng_state())


def test_a_network_that_is_built_later_is_a_stand_in_too():
    net = build("model", Wrapping).network
    assert (type(net), net.in_shape, net.out_shape) == (ReferenceNetwork, (2,), (2,))
    assert build("model", Wrapping, network=Vectors, event=(5,)).network.in_shape == (5,)
    assert build("model", Wrapping, network="mlp:depth=1").network.out_shape == (2,)
