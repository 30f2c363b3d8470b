"""The base of networks: shapes are kept, and a subclass only writes `forward`."""

import pytest
import torch

from sgmkit import Network


class Scale(Network):
    """Its input times the time."""

    def forward(self, z, c, y=None):
        return z * c[:, None]


def test_a_network_keeps_its_shapes_and_takes_no_classes_unless_stated():
    network = Scale([2], [2])
    assert (network.in_shape, network.out_shape, network.classes) == ((2,), (2,), 0)
    assert network(torch.ones(3, 2), torch.arange(3.0)).tolist() == [[0, 0], [1, 1], [2, 2]]
    with pytest.raises(TypeError, match="abstract"):
        Network((2,), (2,))
