"""What hardware and compilers require of networks: layout, precision, one graph.

The conformance suite holds what every network must do; here is what these promise besides.
"""

import pytest
import torch
from support.networks import build, draw, images
from torch import nn

from sgmkit.errors import Incompatible
from sgmkit.noise import seeded
from sgmkit_networks.mlp import MLP
from sgmkit_networks.ncsnpp import NCSNpp
from sgmkit_networks.unet import UNet

SMALL = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "groups": 4}


@pytest.mark.parametrize("net", [MLP((6,), (3,)), UNet((2, 8, 8), (1, 8, 8), **SMALL)])
def test_fresh_networks_answer_zero(net):
    z = draw(4, *net.in_shape, dtype=torch.float32)
    out = net(z, torch.linspace(0, 1, 4))
    assert out.shape == (4, *net.out_shape)
    assert not out.any()


def test_dropout_is_for_training_only():
    for net in (
        build(MLP, (3,), (2,), dropout=0.5),
        build(UNet, (2, 7, 5), (1, 7, 5), **SMALL, dropout=0.5),
    ):
        z, c = draw(3, *net.in_shape), draw(3)
        with seeded(0, "a"):
            first = net.train()(z, c)
        with seeded(0, "b"):
            other = net(z, c)
        assert not torch.allclose(first, other)
        assert torch.equal(net.eval()(z, c), net(z, c))


@pytest.mark.parametrize("name", ["mlp", "unet"])
def test_labels(name):
    cls, shape, options = (MLP, (3,), {}) if name == "mlp" else (UNet, (1, 8, 8), SMALL)
    labelled, plain = (build(cls, shape, shape, **options, classes=n) for n in (4, 0))
    assert (labelled.classes, plain.classes) == (4, 0)
    z, c = draw(2, *shape), draw(2)
    both = labelled(z, c, torch.tensor([1, 2]))
    torch.testing.assert_close(both[:1], labelled(z[:1], c[:1], torch.tensor([1])))
    assert not torch.allclose(both, labelled(z, c, torch.tensor([2, 1])))
    with pytest.raises(Incompatible) as caught:
        plain(z, c, torch.tensor([1, 2]))
    assert str(caught.value) == "the network has no classes: set classes, or leave labels out"


def formats(net, z, c):
    """The answer, and for each convolution whether channels vary fastest in what it is given."""
    last = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, x: last.append(x[0].stride(1) == 1))
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    out = net(z, c)
    for hook in hooks:
        hook.remove()
    return out, last


@pytest.mark.parametrize("cls", [UNet, NCSNpp])
def test_memory_format_is_kept(cls):
    options = SMALL if cls is UNet else {"channels": 8, "blocks": 1, "fir": True}
    net = build(cls, (2, 14, 14), (3, 14, 14), **options, attention=(7,))
    z, c = images(2, (14, 14))
    plain, last = formats(net, z, c)
    assert not any(last)
    assert plain.is_contiguous()
    net = net.to(memory_format=torch.channels_last)
    for like, first in ((z.to(memory_format=torch.channels_last), True), (z, False)):
        out, last = formats(net, like, c)
        assert last[0] == first
        assert all(last[1:])
        assert out.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(out, plain, rtol=1e-10, atol=1e-10)


def networks():
    small = {**SMALL, "multipliers": (1, 2), "attention": (7,), "dropout": 0.1, "classes": 3}
    plus = {"channels": 8, "blocks": 1, "attention": (7,), "fir": True, "classes": 3}
    return {
        "mlp": build(MLP, (4,), (2,), width=16, depth=2, classes=3, dtype=torch.float32),
        "unet": build(UNet, (2, 7, 7), (1, 7, 7), **small, dtype=torch.float32),
        "ncsnpp": build(NCSNpp, (2, 7, 7), (1, 7, 7), **plus, dtype=torch.float32),
    }


def distance(value, reference):
    """Between two tensors, in units of the length of the second."""
    return float((value - reference).detach().norm() / reference.detach().norm())


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
def test_autocast(name):
    """bfloat16 where it pays; weights, their gradients and the time stay in float32."""
    net = networks()[name].eval()
    z, c = draw(8, *net.in_shape, dtype=torch.float32), torch.linspace(0.01, 0.99, 8)
    plain = net(z, c)
    plain.square().mean().backward()
    gradients = {
        name: value.grad for name, value in net.named_parameters() if value.grad is not None
    }
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(z, c)
    assert out.dtype == torch.bfloat16
    assert distance(out, plain) < 0.03
    out.float().square().mean().backward()
    for name, value in net.named_parameters():
        if name in gradients:
            assert value.grad.dtype == torch.float32
            assert distance(value.grad, gradients[name]) < 0.1


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
@pytest.mark.parametrize("training", [True, False])
def test_one_graph(name, training):
    """Compilation finds no reason to break off: nor in training, with labels, in bfloat16."""
    torch._dynamo.reset()
    net = networks()[name].train(training)
    z, c = draw(2, *net.in_shape, dtype=torch.float32), torch.tensor([0.2, 0.7])
    y = torch.tensor([0, 2]) if training else None
    with torch.autocast("cpu", torch.bfloat16, enabled=training):
        report = torch._dynamo.explain(net)(z, c, y)
    assert (report.graph_count, report.graph_break_count) == (1, 0)
    assert report.break_reasons == []


@pytest.mark.parametrize("name", ["mlp", "unet", "ncsnpp"])
def test_compiled_networks_answer_and_learn_the_same(name):
    torch._dynamo.reset()
    net = networks()[name].eval()
    z, c = draw(2, *net.in_shape, dtype=torch.float32), torch.tensor([0.2, 0.7])
    slopes = []
    for each in (net, torch.compile(net, fullgraph=True, backend="aot_eager")):
        out = each(z, c)
        slopes.append([out, *torch.autograd.grad(out.sum(), [net.enter.weight, net.leave.weight])])
    for plain, compiled in zip(*slopes, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
