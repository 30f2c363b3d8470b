"""A term with a gradient and no value."""

import torch

from sgmkit.models import Loss, gradient_of


def test_gradient_of_has_the_gradient_and_no_value():
    x = torch.tensor([3.0, -2.0], requires_grad=True)
    term = gradient_of((x**3).sum())
    assert float(term.detach()) == 0.0
    (slope,) = torch.autograd.grad(term, x)
    assert slope.tolist() == [27.0, 12.0]
    assert float(gradient_of((x**3).sum(), x[0]).detach()) == 3.0
    (slope,) = torch.autograd.grad(gradient_of((x**3).sum(), x[0]), x)
    assert slope.tolist() == [28.0, 12.0]


def test_a_loss_has_no_parts_unless_stated():
    assert dict(Loss(torch.zeros(())).parts) == {}
