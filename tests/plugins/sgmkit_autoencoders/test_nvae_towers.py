"""The towers layer by layer."""

import torch
from support.nvae_parts import SMALL, build, draw, noise
from torch import nn

from sgmkit_autoencoders.nvae import NVAE


def test_the_encoder_layer_by_layer():
    net = build(NVAE, (2, 8, 8), (1, 8, 8), **SMALL)
    tower, x = net.encoder, draw(2, 2, 8, 8)
    h = tower.stem(x)
    for cell in tower.before:
        h = cell(h)
    assert h.shape[1:] == (16, 4, 4)
    level = h
    one = tower.groups[0](h)
    two = tower.groups[1](one)
    h = tower.down[0](two) + tower.pyramid[0](level)
    assert h.shape[1:] == (24, 2, 2)
    three = tower.groups[2](h)
    four = tower.groups[3](three)
    for feature, expected in zip(tower(x), (four, three, two, one), strict=True):
        assert torch.equal(feature, expected)


def test_drawing_and_decoding_step_by_step():
    """Each group looks at the encoder and at the state; each z moves the state."""
    net = build(NVAE, (2, 8, 8), (3, 8, 8), **SMALL)
    x, tower = draw(2, 2, 8, 8), net.decoder
    code, source = net.encode(x, noise()), noise()
    state = tower.start[None].repeat(2, 1, 1, 1)
    for place, feature in enumerate(net.encoder(x)):
        group, (scale, part) = tower.groups[place], divmod(place, 2)
        assert (group.look is None) == (place == 0)
        h = feature + group.look(state) if place else feature
        moments = group.ask(nn.functional.elu(h))
        mean, std = 5 * torch.tanh(moments[:, :2] / 5), (5 * torch.tanh(moments[:, 2:] / 5)).exp()
        base = mean + std * source(mean)
        z = group.flow[1](group.flow[0](base))
        for name, wanted in {"z": z, "mean": mean, "std": std, "base": base}.items():
            values = getattr(code[scale], name)[:, 2 * part : 2 * part + 2]
            torch.testing.assert_close(values, wanted, rtol=1e-10, atol=1e-10)
        state = group.join(torch.cat([state, group.tell(z)], 1))
        state = group.cells(state)
        if place == 1:
            state = tower.up[0](state)
    assert state.shape[1:] == (16, 4, 4)
    out = tower.leave(nn.functional.elu(tower.after(state)))
    torch.testing.assert_close(net.decode([each.z for each in code]), out)
    assert [each.groups for each in code] == [(2, 2), (2, 2)]


def test_the_state_is_the_same_in_drawing_and_decoding():
    net = build(NVAE, (1, 8, 8), (1, 8, 8), **SMALL)
    states = []
    for group in net.decoder.groups:
        group.register_forward_hook(lambda _, inputs, out: states.append(out))
    code = net.encode(draw(2, 1, 8, 8), noise())
    drawn = states[:]
    states.clear()
    net.decode([each.z for each in code])
    assert (len(drawn), len(states)) == (3, 4)  # nothing is drawn after the last
    assert all(map(torch.equal, drawn, states[:3]))
