import dgl
import numpy as np
import pytest
import torch
from batches import random_distances
from torch import nn

from gradformer_dgl import ExponentialDecay
from gradformer_dgl.nn.decay import Decay, make_decay
from gradformer_dgl.support.errors import ConfigError, GraphError


def test_table_of_hand_computed_values():
    decay = ExponentialDecay(2, gamma=0.5, hop=[0.0, 2.0], slope=0.5)
    expected = [[1.0, 0.5, 0.25, 0.125, 0.0], [2.0, 2**0.5, 1.0, 0.5, 0.0]]
    torch.testing.assert_close(decay.table(4), torch.tensor(expected))


def test_a_step_may_be_a_part_of_a_hop():
    options = {"gamma": 0.7, "hop": [0.4, 3.0], "slope": 0.2}
    quarters = ExponentialDecay(2, **options, unit=0.25).table(13)
    torch.testing.assert_close(quarters[:, :-1:4], ExponentialDecay(2, **options).table(4)[:, :-1])
    assert quarters[:, -1].tolist() == [0.0, 0.0]
    with pytest.raises(ConfigError, match="unit must be a finite number above 0"):
        ExponentialDecay(2, unit=0.0)


def test_gradient_of_the_thresholds():
    decay = ExponentialDecay(3, gamma=0.6, hop=[0.3, 2.2, 4.7], slope=0.1).double()
    table = decay.table(7)
    table.sum().backward()
    step = 1e-6
    for head in range(3):
        with torch.no_grad():
            decay.tau[head] += step
            above = decay.table(7).sum()
            decay.tau[head] -= 2 * step
            below = decay.table(7).sum()
            decay.tau[head] += step
        torch.testing.assert_close(decay.tau.grad[head], (above - below) / (2 * step), rtol=1e-6, atol=1e-9)


def test_padded_distances_with_biased_attention_of_dgl():
    distances = random_distances([7, 5])
    decay = ExponentialDecay(4, hop=2.0)
    padded = distances.pad(-1)
    bias = decay(padded)
    assert bias.shape == (2, 7, 7, 4)
    assert (bias[padded == -1] == 0).all()
    table = decay.table(20)
    assert torch.equal(bias[1, 2, 3], table[:, padded[1, 2, 3]])
    attention = dgl.nn.BiasedMHA(feat_size=16, num_heads=4, attn_bias_type="mul", attn_drop=0.0)
    out = attention(torch.rand(2, 7, 16), bias)
    assert out.shape == (2, 7, 16)
    layer = dgl.nn.GraphormerLayer(16, 32, 4, attn_bias_type="mul")
    # Not the plain sum, which the layer's last norm makes the same for every mask.
    (layer(torch.rand(2, 7, 16), decay(padded)) * torch.rand(2, 7, 16)).sum().backward()
    assert decay.tau.grad.abs().sum() > 0


def test_biased_attention_of_dgl_equals_ours():
    from gradformer_dgl import decay_attention

    distances = random_distances([5])
    decay = ExponentialDecay(4, hop=2.0)
    attention = dgl.nn.BiasedMHA(feat_size=12, num_heads=4, attn_bias_type="mul", attn_drop=0.0)
    x = torch.rand(1, 5, 12)
    q, k, v = (proj(x[0]).view(5, 4, 3) for proj in (attention.q_proj, attention.k_proj, attention.v_proj))
    ours = attention.out_proj(decay_attention(q, k, v, distances, decay.table(255)).reshape(5, 12))
    torch.testing.assert_close(ours, attention(x, decay(distances.pad(-1)))[0], rtol=1e-5, atol=1e-6)


def test_none_is_all_ones():
    decay = make_decay("none", num_heads=3).double()
    assert torch.equal(decay.table(5), torch.ones(3, 6, dtype=torch.float64))


def test_a_fixed_threshold_is_no_parameter():
    decay = ExponentialDecay(2, learnable=False)
    assert not list(decay.parameters())
    assert "tau" in decay.state_dict()


def test_bfloat16_knows_long_distances():
    decay = ExponentialDecay(1, gamma=0.99, hop=290.0).bfloat16()
    table = decay.table(301).detach().double()
    assert table[0, 301] == 0
    assert table[0, 300] == pytest.approx(0.99 ** (300 - decay.tau.item()), rel=0.01)


def test_a_module_of_ones_own():
    class Local(Decay):
        def table(self, num_distances):
            return (torch.arange(num_distances + 1) < 2).float().expand(self.num_heads, -1)

    assert make_decay(own := Local(2), num_heads=2) is own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0.0}, "gamma must be above 0 and at most 1, but is 0.0"),
        ({"gamma": float("nan")}, "gamma must be .* but is nan"),
        ({"slope": -1.0}, "slope must be a finite number, 0 or more, but is -1.0"),
        ({"hop": [1.0, 2.0]}, "one number or 3, one per head, but 2 are given"),
        ({"hop": float("inf")}, "hop must be finite"),
        ({"num_heads": 0}, "num_heads must be at least 1, but is 0"),
    ],
)
def test_config_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        ExponentialDecay(**{"num_heads": 3} | options)


def test_choice_errors():
    with pytest.raises(
        ConfigError, match=r"decay is one of .*, not 'exponent'; did you mean 'exponential'\?"
    ):
        make_decay("exponent", num_heads=1)
    with pytest.raises(ConfigError, match=r"needs a method table\(num_distances\), which Linear lacks"):
        make_decay(nn.Linear(1, 1), num_heads=1)
    with pytest.raises(ConfigError, match="Decay must define table"):
        Decay(1).table(3)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (torch.zeros(1, 2, 2), "must be integers, but are torch.float32"),
        (torch.zeros(2, 2).long(), r"shape \(graphs, N, N\), but have \(2, 2\)"),
        (torch.full((1, 2, 2), -3), "or more, but one is -3"),
    ],
)
def test_graph_errors(distances, message):
    with pytest.raises(GraphError, match=message):
        ExponentialDecay(1)(distances)


@pytest.mark.parametrize("hop", [np.float32(2), np.int64(2), np.array(2.0), torch.tensor(2.0)])
def test_a_threshold_may_be_any_number(hop):
    assert ExponentialDecay(3, hop=hop).tau.tolist() == [2, 2, 2]


@pytest.mark.parametrize("hop", [(1, 2), np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])])
def test_thresholds_may_be_any_sequence(hop):
    assert ExponentialDecay(2, hop=hop).tau.tolist() == [1, 2]
