"""Attention of one graph, drawn on the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Float, Int, Int64
from torch import Tensor

from gradformer_dgl.plots.attention_weights import as_pairs, attention_weights, num_layers_with_attention
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.style import panels, styled
from gradformer_dgl.support.errors import ConfigError, RunError

MOST_NODES = 40
"""A graph that nobody chose has no more nodes, where there is such a graph."""
MOST_DRAWN = 2000
_NUMBERED, _SPRINGS = 45, 150
_WIDEST = 3.5


def draw_attention(run: PlottedRun) -> Any:
    """Draw the attention of one graph of a run; see :func:`attention_figure`."""
    return attention_figure(read_attention(run))


@dataclass(frozen=True)
class GraphAttention:
    """Attention of one graph in one layer, (heads, nodes, nodes), and what it is drawn on.

    Rows of weights sum to 1. The distances, (nodes, nodes), are those that the model reads, NaN where there
    is no path; the edges are there once each, without loops.
    """

    weights: Float[np.ndarray, "heads nodes nodes"]
    distances: Float[np.ndarray, "nodes nodes"]
    edges: Sequence[tuple[int, int]]
    title: str
    unit: str = "hops"


def read_attention(run: PlottedRun) -> GraphAttention:
    """Return the attention of the graph and layer that a run is to show, of its first seed with weights."""
    seed, network = next(iter(run.networks.items()))
    layers, graphs = num_layers_with_attention(network), run.dataset.graphs
    if not layers:
        raise RunError(f"the model {run.config.model} has no attention")
    layer = layers if run.layer is None else run.layer
    if not 1 <= layer <= layers:
        raise ConfigError(f"--layer {layer}: the model has the layers 1 to {layers}")
    number = _some_graph(run, seed) if run.graph is None else run.graph
    if not 0 <= number < len(graphs):
        raise ConfigError(f"--graph {number}: the data has the graphs 0 to {len(graphs) - 1}")
    nodes = int(graphs.node_counts[number])
    if not 0 < nodes <= MOST_DRAWN:
        raise RunError(f"graph {number} has {nodes} nodes; one of 1 to {MOST_DRAWN} can be drawn")
    batch = run.loader.batch(graphs.node_counts.new_tensor([number]))
    assert batch.distances is not None
    distances = as_pairs(batch.distances)
    steps = distances[0].cpu().numpy()
    hops = np.where(steps == distances.unreachable, np.nan, steps * run.config.distance_unit)
    part = graphs.part(number, number + 1)
    ends = {(min(edge), max(edge)) for edge in zip(part.src.tolist(), part.dst.tolist(), strict=True)}
    return GraphAttention(
        attention_weights(network, batch, layer - 1).numpy(),
        hops,
        sorted((one, other) for one, other in ends if one != other),
        f"Graph {number}, layer {layer} of {layers}, seed {seed}",
        "hops" if run.config.distance_unit == 1 else "resistance",
    )


def _some_graph(run: PlottedRun, seed: int) -> int:
    graphs = run.dataset.graphs
    if graphs.splits_nodes:
        return 0
    test = run.test_graphs(seed)
    return int(test[near_median(graphs.node_counts[test], graphs.edge_counts[test], MOST_NODES)])


def near_median(
    node_counts: Int64[Tensor, "graphs"], edge_counts: Int64[Tensor, "graphs"], most_nodes: int
) -> int:
    """Return the place of a graph of usual size, with edges, not too large; counts have shape (graphs,)."""
    wanted = min(float(node_counts.double().median()), most_nodes)
    off = (node_counts.double() - wanted).abs()
    off[(edge_counts == 0) | (node_counts < 3)] += 1e9
    off[node_counts > most_nodes] += 1e6
    return int(off.argmin())


def positions(num_nodes: int, edges: Sequence[tuple[int, int]]) -> Float[np.ndarray, "nodes 2"]:
    """Return places, (nodes, 2), for the nodes of a graph, turned so that they fill a square.

    Kamada and Kawai's, begun with multidimensional scaling of the distances, which unfolds rings; of a large
    graph, springs. Separate parts are placed as if they were one hop farther apart than any other nodes.
    """
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(num_nodes))
    if num_nodes > _SPRINGS:
        found = nx.spring_layout(graph, seed=0, iterations=60)
    else:
        hops = {one: dict(ends) for one, ends in nx.all_pairs_shortest_path_length(graph)}
        beyond = 1 + max(max(ends.values()) for ends in hops.values())
        full = {one: {other: hops[one].get(other, beyond) for other in graph} for one in graph}
        matrix = np.array([[full[one][other] for other in range(num_nodes)] for one in range(num_nodes)])
        begin = dict(enumerate(_scaled(matrix.astype(np.float64))))
        found = nx.kamada_kawai_layout(graph, dist=full, pos=begin)
    return _turned(np.array([found[node] for node in range(num_nodes)]).reshape(num_nodes, 2))


def _scaled(distances: Float[np.ndarray, "nodes nodes"]) -> Float[np.ndarray, "nodes 2"]:
    """Return places, (nodes, 2), by classical multidimensional scaling of distances, (nodes, nodes)."""
    squares = distances**2
    centred = squares - squares.mean(0) - squares.mean(1, keepdims=True) + squares.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    places = np.zeros((len(distances), 2))
    axes = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0))
    places[:, : axes.shape[1]] = axes
    # Nodes at one place would stay there.
    return places + 1e-3 * np.random.default_rng(0).standard_normal(places.shape)


def _turned(places: Float[np.ndarray, "nodes 2"]) -> Float[np.ndarray, "nodes 2"]:
    turns = []
    for angle in np.linspace(0, np.pi / 2, 19)[:-1]:
        across, up = np.cos(angle), np.sin(angle)
        turns.append(places @ np.array([[across, up], [-up, across]]))
    return min(turns, key=lambda turned: float(np.ptp(turned, axis=0).max()))


def pair_weights(
    weights: Float[np.ndarray, "heads nodes nodes"], pairs: Int[np.ndarray, "pairs 2"]
) -> Float[np.ndarray, "heads pairs"]:
    """Return the attention between the nodes of pairs, (heads, pairs), the mean of both directions."""
    one, other = pairs[:, 0], pairs[:, 1]
    return (weights[:, one, other] + weights[:, other, one]) / 2


def far_pairs(
    weights: Float[np.ndarray, "nodes nodes"], edges: Int[np.ndarray, "edges 2"], count: int
) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs without an edge, (pairs, 2), that have the most attention, the strongest last."""
    both = (weights + weights.T) / 2
    both[tuple(edges.T)] = -1
    one, other = np.triu_indices(len(both), 1)
    order = np.argsort(both[one, other], kind="stable")[max(0, len(one) - count) :]
    order = order[both[one, other][order] >= 0]
    return np.stack([one[order], other[order]], axis=1)


def attention_figure(shown: GraphAttention) -> Any:
    """Draw the distance matrix of a graph, and the graph once for each head with its attention."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    heads, nodes, _ = shown.weights.shape
    edges = np.array(shown.edges, np.int64).reshape(-1, 2)
    places = positions(nodes, shown.edges)
    between = pair_weights(shown.weights, edges)
    far = [far_pairs(weights, edges, nodes // 2) for weights in shown.weights]
    beside = [pair_weights(shown.weights[[head]], pairs)[0] for head, pairs in enumerate(far)]
    widest = max([1e-12, *between.ravel(), *np.concatenate(beside)])
    received = shown.weights.mean(1)
    with styled():
        columns = 3 if heads <= 5 else 4
        figure, axes = panels(heads + 1, columns, 2.6 if columns == 3 else 2.1)
        _draw_distances(figure, axes[0], shown)
        scale = Normalize(0, float(received.max()))
        for head, place in enumerate(axes[1:]):
            _draw_lines(place, places, far[head], beside[head] / widest, False)
            _draw_lines(place, places, edges, between[head] / widest, True)
            _draw_nodes(place, places, received[head], scale)
            place.set_title(f"Head {head + 1}")
        bar = figure.colorbar(
            ScalarMappable(scale, "Greys"), ax=axes, shrink=0.4, aspect=30, location="bottom"
        )
        bar.set_label("darkness of a node: mean attention that it receives", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        figure.suptitle(
            f"{shown.title}; widest line {widest:.2g}, equal shares would be {1 / nodes:.2g}", fontsize=10
        )
    return figure


def _draw_distances(figure: Any, axes: Any, shown: GraphAttention) -> None:
    nodes = len(shown.distances)
    longest = float(np.nanmax(shown.distances))
    no_path = np.isnan(shown.distances)
    image = axes.imshow(np.ma.masked_array(shown.distances, no_path), cmap="Greys", vmin=0)
    if nodes <= 16 and shown.unit == "hops":
        for (row, column), value in np.ndenumerate(shown.distances):
            if not no_path[row, column]:
                grey = "white" if value > 0.55 * longest else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color=grey)
    axes.set(title="Distances", xlabel="node", ylabel="node")
    axes.spines[:].set_visible(True)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(shown.unit + ("; hatched: no path" if no_path.any() else ""), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    for axis in (axes.xaxis, axes.yaxis, *([bar.ax.yaxis] if shown.unit == "hops" else [])):
        axis.get_major_locator().set_params(integer=True)
    if no_path.any():
        # Behind the picture, and seen where it has nothing.
        axes.patch.set(hatch="////", edgecolor="0.6", facecolor="white", linewidth=0)


def _draw_lines(
    axes: Any,
    places: Float[np.ndarray, "nodes 2"],
    pairs: Int[np.ndarray, "pairs 2"],
    shares: Float[np.ndarray, "pairs"],
    are_edges: bool,
) -> None:
    from matplotlib.collections import LineCollection

    # The widest of many lines are not to be hidden under the others.
    order = np.argsort(shares)
    pairs, shares = pairs[order], shares[order]
    crowded = len(pairs) > 3 * len(places)
    lightest = 0.9 if crowded else 0.75
    lines = LineCollection(
        list(places[pairs] if are_edges else _arcs(places[pairs])),
        linewidths=np.maximum(0.15, _WIDEST / 2 * shares) if crowded else np.maximum(0.5, _WIDEST * shares),
        colors=[str(grey) for grey in lightest * (1 - shares)] if are_edges else "0.6",
        linestyles="solid" if are_edges else [(0, (2, 2))],
        capstyle="butt",
        zorder=2 if are_edges else 1,
        rasterized=len(pairs) > 400,
    )
    axes.add_collection(lines)


def _arcs(ends: Float[np.ndarray, "pairs 2 2"]) -> Float[np.ndarray, "pairs points 2"]:
    """Return bows, (pairs, points, 2), between ends, (pairs, 2, 2), that differ from edges of a chain."""
    begin, end = ends[:, :1], ends[:, 1:]
    across = (end - begin) @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    along = np.linspace(0, 1, 13)[:, None]
    return begin + along * (end - begin) + 0.6 * along * (1 - along) * across


def _draw_nodes(
    axes: Any, places: Float[np.ndarray, "nodes 2"], received: Float[np.ndarray, "nodes"], scale: Any
) -> None:
    numbered = len(places) <= _NUMBERED
    axes.scatter(
        *places.T,
        s=75 if len(places) <= 20 else 50 if numbered else 12,
        c=received,
        cmap="Greys",
        norm=scale,
        edgecolors="black",
        linewidths=0.7,
        zorder=3,
    )
    if numbered:
        for node, (x, y) in enumerate(places):
            dark = scale(received[node]) > 0.55
            axes.text(
                x,
                y,
                str(node),
                ha="center",
                va="center",
                fontsize=5.5 if len(places) <= 20 else 4.5,
                color="white" if dark else "black",
                zorder=4,
            )
    axes.set_aspect("equal")
    axes.margins(0.08)
    axes.set_axis_off()
