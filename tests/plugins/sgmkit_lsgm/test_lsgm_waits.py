"""A training step reads no tensor of the model back: on a GPU each would wait for the device.

Coefficients of the process are float64 and on the CPU, whatever the device: these, and comparisons
of them, may be read. What a step computes from the model and the data is float32 here.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sgmkit import Batch, SeededNoise, create

READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
)
EVERYTHING = {
    "balance": "always",
    "drop_inactive": 0.1,
    "kl_low": 0.3,
    "kl_portion": 1.0,
    "regularise": 0.01,
    "regularise_prior": 0.01,
    "times": "separate",
}


class Reads(TorchDispatchMode):
    """Remembers the dtypes and the addresses of tensors whose numbers are read by Python."""

    def __init__(self):
        super().__init__()
        self.dtypes, self.addresses = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in READS:
            self.dtypes.append(args[0].dtype)
            self.addresses.append(args[0].data_ptr())
        return func(*args, **(kwargs or {}))


def test_reads_are_seen():
    number, truth = torch.zeros((), dtype=torch.int64), torch.tensor(False)
    with Reads() as reads:
        assert int(number) == 0
        assert not bool(truth)
    assert reads.dtypes == [torch.int64, torch.bool]
    assert reads.addresses == [number.data_ptr(), truth.data_ptr()]


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["default", "everything"])
@pytest.mark.parametrize("progress", [0.1, 0.6], ids=["alone", "joint"])
@pytest.mark.parametrize("sde", ["vp", "cld"])
def test_a_step_reads_no_tensor_of_the_model(sde, progress, options):
    prior = {
        "name": "sgm",
        "sde": sde,
        "network": "unet:channels=8:multipliers=(1,2)",
        "prediction": "residual",
        "weighting": "likelihood",
    }
    facts = {"event": (1, 8, 8), "likelihood": "discretised", "levels": 17}
    autoencoder = "conv:widths=(8,):latents=2"
    model = create("model", "lsgm", autoencoder=autoencoder, prior=prior, **facts, **options)
    noise = SeededNoise(0, range(4))
    with Reads() as reads:
        loss = model.train().loss(Batch(torch.zeros(4, 1, 8, 8), None, noise.ids), noise, progress)
        loss.total.backward()
    assert not {torch.float32, torch.int64} & {*reads.dtypes}
    assert not {value.data_ptr() for value in model.state_dict().values()} & {*reads.addresses}
