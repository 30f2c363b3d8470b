"""Whether this machine computes in the same bits as the one that made the files of tests/stored."""

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F


def digest(tensor: Tensor) -> str:
    """Sixteen hexadecimal digits of the type, the shape and the bits of a tensor."""
    head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return hashlib.sha256(head + tensor.contiguous().cpu().numpy().tobytes()).hexdigest()[:16]


def arithmetic() -> dict[str, str]:
    """The version of torch, its instruction set, and a digest of what a few operations answer.

    Rounding differs between versions of torch and between processors, and 50 steps of training
    carry it into every weight. Where all three agree, weights are compared bit for bit.
    """
    x = torch.linspace(-2, 3, 4 * 8 * 6 * 6).reshape(4, 8, 6, 6)
    weight = torch.linspace(1, -1, 8 * 8 * 9).reshape(8, 8, 3, 3).requires_grad_()
    y = F.silu(F.group_norm(F.conv2d(x, weight, padding=1), 2))
    rows = y.flatten(1)
    mixed = rows @ rows.T.exp().softmax(1)[:, :1].expand(-1, rows.shape[1]).T
    loss = mixed.square().mean().log1p() + y.logsumexp(1).sin().mean()
    loss.backward()
    answers = torch.cat([weight.flatten(), weight.grad.flatten(), loss.detach()[None]])
    return {
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "operations": digest(answers.detach()),
    }
