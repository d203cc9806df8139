"""Attention weights beside the reference and the network itself; the graph they are drawn on."""

import dataclasses

import networkx as nx
import numpy as np
import pytest
import torch
from torch.nn import functional

from gradformer_dgl import PairDistances
from gradformer_dgl.kernels.attention.reference import reference_attention
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.plots import attention
from gradformer_dgl.plots.attention import (
    GraphAttention,
    attention_figure,
    far_pairs,
    near_median,
    pair_weights,
    positions,
    read_attention,
)
from gradformer_dgl.plots.attention_weights import attention_weights
from gradformer_dgl.support.errors import ConfigError, RunError

MODELS = [{}, {"model": "graphgps"}, {"model": "transformer"}, {"distance": "resistance"}]


def inputs_and_output(network, batch, module):
    seen = []
    hook = module.register_forward_hook(lambda module, given, out: seen.append((*given, out.clone())))
    with torch.no_grad():
        network(batch)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("settings", MODELS)
def test_weights_are_the_softmax_of_the_reference(opened, settings):
    run = opened("nodes", **settings)
    network, batch = run.networks[0], run.loader.batch(torch.tensor([4]))
    for layer in range(2):
        weights = attention_weights(network, batch, layer)
        module = network.model.layers[layer].attention
        x, distances, table, out = inputs_and_output(network, batch, module)
        heads, nodes, _ = weights.shape
        query, key, value = (
            part.view(nodes, heads, -1)
            for part in functional.linear(x, module.qkv.weight, module.qkv.bias).chunk(3, 1)
        )
        width = query.shape[2]
        # With columns of the identity in place of the values, what comes out are the weights.
        found = []
        for begin in range(0, nodes, width):
            columns = torch.eye(nodes)[:, begin : begin + width]
            columns = functional.pad(columns, (0, width - columns.shape[1]))
            part = reference_attention(query, key, columns[:, None].expand(-1, heads, -1), distances, table)
            found.append(part)
        expected = torch.cat(found, 2)[:, :, :nodes].transpose(0, 1)
        assert torch.allclose(weights, expected, atol=1e-6)
        assert weights.std() > 1e-4
        mixed = torch.einsum("hij,jhc->ihc", weights, value).reshape(nodes, -1)
        assert torch.allclose(module.out(mixed), out, atol=1e-5)


def test_weights_of_graphormer(opened):
    run = opened("nodes", model="graphormer")
    network, batch = run.networks[0], run.loader.batch(torch.tensor([4]))
    weights = attention_weights(network, batch, 1)
    module = network.model.layers[1].attn
    x, _, _, out = inputs_and_output(network, batch, module)
    value = module.v_proj(x[0]).view(x.shape[1], module.num_heads, -1)
    mixed = torch.einsum("hij,jhc->ihc", weights, value).reshape(x.shape[1], -1)
    assert torch.allclose(module.out_proj(mixed), out[0], atol=1e-5)
    assert torch.allclose(weights.sum(2), torch.ones(weights.shape[:2]), atol=1e-5)


def test_a_model_without_attention(opened):
    run = opened("yes_or_no", model="gin")
    with pytest.raises(RunError, match="the model gin has no attention"):
        read_attention(run)
    with pytest.raises(RunError, match="has no attention"):
        attention_weights(run.networks[0], run.loader.batch(torch.tensor([0])), 0)


def test_the_graph_and_layer_that_are_asked_for(opened):
    shown = read_attention(opened("nodes", graph=4, layer=1))
    assert shown.title == "Graph 4, layer 1 of 2, seed 0"
    size = 10
    graph = nx.path_graph(size)
    graph.add_node(size)
    graph.add_edge(0, size // 2)
    assert shown.edges == sorted(tuple(sorted(edge)) for edge in graph.edges)
    hops = np.full((size + 1, size + 1), np.nan)
    for one, ends in nx.all_pairs_shortest_path_length(graph):
        for other, distance in ends.items():
            hops[one, other] = distance
    assert np.array_equal(shown.distances, hops, equal_nan=True)
    run = opened("nodes", graph=4)
    expected = attention_weights(run.networks[0], run.loader.batch(torch.tensor([4])), 1)
    assert np.array_equal(read_attention(run).weights, expected.numpy())
    resistance = read_attention(opened("nodes", graph=4, distance="resistance"))
    assert resistance.unit == "resistance"
    assert resistance.distances[5, 6] == 1
    # In a ring of six edges the ends of one are joined by it, and by five more beside it.
    assert resistance.distances[0, 1] == pytest.approx(5 / 6, abs=0.125)
    for options, message in [
        ({"graph": 30}, "--graph 30: the data has the graphs 0 to 29"),
        ({"layer": 3}, "--layer 3: the model has the layers 1 to 2"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read_attention(opened("nodes", **options))


def test_weights_over_near_pairs_are_those_of_a_dense_cache_with_the_same_cut_off(opened):
    run = opened("nodes")
    graph = run.dataset.graphs.part(4, 5)
    ends = (graph.src.tolist(), graph.dst.tolist(), int(graph.node_counts))
    near = SparsePairDistances.from_graph(ends, max_distance=2)
    network, batch = run.networks[0], run.loader.batch(torch.tensor([4]))
    whole = batch.distances[0].long()
    cut = torch.where(whole > 2, -1, whole)[None]
    dense = PairDistances.from_padded(cut, batch.distances.node_counts)
    found = [
        attention_weights(network, dataclasses.replace(batch, distances=distances), 1)
        for distances in (near, dense)
    ]
    assert torch.allclose(*found, atol=1e-6)
    assert not torch.allclose(found[0], attention_weights(network, batch, 1), atol=1e-4)


def test_a_graph_that_is_too_large_to_draw(opened, monkeypatch):
    monkeypatch.setattr(attention, "MOST_DRAWN", 8)
    with pytest.raises(RunError, match="graph 4 has 11 nodes; one of 1 to 8 can be drawn"):
        read_attention(opened("nodes", graph=4))


def test_a_graph_that_nobody_chose_is_a_test_graph_of_usual_size(opened):
    run = opened("nodes")
    number = int(read_attention(run).title.split(",")[0].removeprefix("Graph "))
    test = run.test_graphs(0)
    assert number in test.tolist()
    counts = run.dataset.graphs.node_counts
    off = (counts[test] - counts[test].double().median()).abs()
    assert abs(counts[number] - counts[test].double().median()) == off.min()
    assert near_median(torch.tensor([300, 500, 400]), torch.tensor([9, 9, 9]), most_nodes=40) == 0
    assert near_median(torch.tensor([2, 2, 9]), torch.tensor([1, 0, 9]), most_nodes=40) == 2


def test_the_only_graph_is_shown_whichever_nodes_are_for_testing(opened):
    run = opened("parts_of_one")
    assert run.test_graphs(0).tolist() == [8, 9, 10]
    shown = read_attention(run)
    assert shown.title.startswith("Graph 0,")
    assert shown.weights.shape == (3, 11, 11)


def test_lines_are_as_wide_as_the_attention_of_both_directions():
    generator = np.random.default_rng(0)
    weights = generator.dirichlet(np.ones(7), (2, 7))
    pairs = np.array([[0, 1], [5, 2]])
    between = pair_weights(weights, pairs)
    for head in range(2):
        for place, (one, other) in enumerate(pairs):
            expected = (weights[head, one, other] + weights[head, other, one]) / 2
            assert between[head, place] == pytest.approx(expected)
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    far = far_pairs(weights[0], np.array(edges), 3)
    both = {
        (one, other): weights[0, one, other] + weights[0, other, one]
        for one in range(7)
        for other in range(one + 1, 7)
        if (one, other) not in edges
    }
    assert [tuple(pair) for pair in far] == sorted(both, key=lambda pair: both[pair])[-3:]
    hops = np.abs(np.subtract.outer(np.arange(7.0), np.arange(7.0)))
    figure = attention_figure(GraphAttention(weights, hops, edges, "A chain"))
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["Distances", "Head 1", "Head 2"]
    dashed, solid = figure.axes[1].collections[:2]
    widths = np.sort(pair_weights(weights[:1], np.array(edges))[0])
    widest = max(widths.max(), pair_weights(weights[1:], np.array(edges)).max())
    for head in range(2):
        some = far_pairs(weights[head], np.array(edges), 3)
        widest = max(widest, pair_weights(weights[[head]], some).max())
    assert np.allclose(solid.get_linewidths(), np.maximum(0.5, 3.5 * widths / widest))
    assert dashed.get_linestyles()[0][1] is not None
    assert solid.get_linestyles()[0][1] is None
    assert np.array_equal(figure.axes[0].images[0].get_array(), hops)
    received = weights[0].mean(0)
    assert np.allclose(figure.axes[1].collections[2].get_array(), received)


def test_places_of_nodes():
    ring = positions(8, [(node, (node + 1) % 8) for node in range(8)])
    radius = np.linalg.norm(ring - ring.mean(0), axis=1)
    assert np.ptp(radius) < 0.05 * radius.mean()
    chain = positions(9, [(node, node + 1) for node in range(8)])
    assert np.ptp(np.ptp(chain, axis=0)) < 0.1 * np.ptp(chain)
    for nodes, edges in [(1, []), (2, []), (3, [(0, 1)]), (200, [(node, node + 1) for node in range(150)])]:
        places = positions(nodes, edges)
        assert places.shape == (nodes, 2)
        assert np.isfinite(places).all()
        apart = np.linalg.norm(places[:, None] - places, axis=2) + np.eye(nodes)
        assert apart.min() > 1e-3


@pytest.mark.parametrize(("nodes", "heads"), [(1, 1), (2, 5), (60, 9)])
def test_small_and_crowded_graphs_can_be_drawn(nodes, heads):
    generator = np.random.default_rng(0)
    graph = nx.gnp_random_graph(nodes, 0.4, seed=0)
    hops = np.where(np.eye(nodes, dtype=bool), 0.0, np.nan)
    weights = generator.dirichlet(np.ones(nodes), (heads, nodes))
    figure = attention_figure(GraphAttention(weights, hops, list(graph.edges), "A graph"))
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes[1 : heads + 1]] == [
        f"Head {head + 1}" for head in range(heads)
    ]
