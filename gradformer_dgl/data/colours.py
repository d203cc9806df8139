"""Colours of nodes: which rooted neighbourhood, up to a number of hops, a node stands in.

The colour refinement of Weisfeiler and Leman. Two nodes have one colour after r rounds if the trees of walks
of r hops that begin at them are the same, categories of nodes and edges included.
"""

import copy
import dataclasses

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gradformer_dgl.data.colours_kernel import graphs_with, refine, row_hashes, tell_apart
from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.support.errors import ConfigError


def node_colours(graphs: PackedGraphs, rounds: int, counted: bool = False) -> Int64[Tensor, "nodes rounds"]:
    """Return the colour of every node after 1, 2, ... rounds.

    Parameters
    ----------
    graphs : PackedGraphs
        Their node and edge features are part of the colours where they are categories (integers or bool);
        measured features (float) are not.
    rounds : int
        Rounds of refinement, at least 1.
    counted : bool
        Whether the second, third, ... node of a graph that has a colour gets another one, the same in all
        graphs; which of the nodes is the second is left open. Which colours a graph has then tells how often
        each occurs, and two graphs share as many as an optimal assignment of their nodes matches.

    Returns
    -------
    Tensor
        Shape (nodes, rounds), int64: a hash for each colour, the same in every data set and process. Two
        different colours share a hash with a chance of 2 ** -64.

    Notes
    -----
    Weisfeiler, Leman: "The reduction of a graph to canonical form and the algebra which appears therein",
    Nauchno-Technicheskaya Informatsia 2 (1968). As encodings of nodes in a graph transformer: Zhang et al.,
    "Graph-Bert: Only attention is needed for learning graph representations", 2020. Optimal assignment:
    Kriege, Giscard, Wilson, "On valid optimal assignment kernels and applications to graph classification",
    NeurIPS 2016.

    Examples
    --------
    The middle of a path of five nodes differs from its neighbours after two rounds:

    >>> import dgl
    >>> path = PackedGraphs.from_graphs([dgl.graph(([0, 1, 2, 3, 1, 2, 3, 4], [1, 2, 3, 4, 0, 1, 2, 3]))])
    >>> [colours.unique(return_inverse=True)[1].unique().numel() for colours in node_colours(path, 2).T]
    [2, 3]
    """
    colours = np.empty((graphs.num_nodes, rounds), np.uint64)
    refine(
        graphs.node_counts.numpy(),
        graphs.edge_counts.numpy(),
        graphs.src.cpu().numpy(),
        graphs.dst.cpu().numpy(),
        _hashes(graphs.edge_features, graphs.num_edges),
        _hashes(graphs.node_features, graphs.num_nodes),
        colours,
    )
    if counted:
        tell_apart(graphs.node_counts.numpy(), colours)
    return torch.from_numpy(colours.view(np.int64)).to(graphs.device)


def common_colours(
    colours: Int64[Tensor, "nodes rounds"],
    node_counts: Int64[Tensor, " graphs"],
    graphs: Int64[Tensor, " chosen"],
    min_graphs: int,
) -> list[Int64[Tensor, " known"]]:
    """Return, for every round, the colours that occur in enough of the chosen graphs.

    Parameters
    ----------
    colours : Tensor
        Shape (nodes, rounds), from :func:`node_colours`.
    node_counts : Tensor
        Shape (graphs,), nodes per graph.
    graphs : Tensor
        Numbers of the graphs that count, usually those of the training split.
    min_graphs : int
        In how many of them a colour must occur.

    Returns
    -------
    list of Tensor
        One for each round: the hashes in ascending order.

    Examples
    --------
    >>> colours = torch.tensor([[7], [7], [5], [7], [5]])
    >>> common_colours(colours, torch.tensor([3, 1, 1]), torch.tensor([0, 1, 2]), min_graphs=2)
    [tensor([5, 7])]
    >>> common_colours(colours, torch.tensor([3, 1, 1]), torch.tensor([0, 1]), min_graphs=2)
    [tensor([7])]
    """
    graph_of_node = torch.arange(len(node_counts)).repeat_interleave(node_counts)
    counts = torch.zeros(len(node_counts), dtype=torch.bool)
    counts[graphs] = True
    nodes = counts[graph_of_node].nonzero()[:, 0]
    owners = graph_of_node[nodes].numpy()
    common = []
    for column in colours.cpu()[nodes].T:
        known, places = column.unique(return_inverse=True)
        enough = graphs_with(places.numpy(), owners, len(known)) >= min_graphs
        common.append(known[torch.from_numpy(enough)])
    return common


def coloured(graphs: PackedGraphs, rounds: int, counted: bool = False) -> PackedGraphs:
    """Return the graphs with their colours as the encoding ``"wl:R"``; see :func:`node_colours`.

    Examples
    --------
    >>> import dgl
    >>> graphs = PackedGraphs.from_graphs([dgl.graph(([0, 1], [1, 0]))])
    >>> alike, apart = (coloured(graphs, 1, counted).encodings["wl:1"] for counted in (False, True))
    >>> len(alike.unique()), len(apart.unique())
    (1, 2)
    """
    found = copy.copy(graphs)
    found.encodings = {**graphs.encodings, f"wl:{rounds}": node_colours(graphs, rounds, counted)}
    return found


def with_colours(
    dataset: GraphDataset,
    rounds: int,
    graphs: Int64[Tensor, " chosen"],
    min_graphs: int,
    counted: bool = False,
) -> tuple[GraphDataset, list[Int64[Tensor, " known"]]]:
    """Return a data set whose batches have colours, as the encoding ``"wl:R"``, and the common ones of them.

    Parameters
    ----------
    dataset : GraphDataset
        What to colour.
    rounds : int
        R, at least 1.
    graphs, min_graphs
        See :func:`common_colours`.
    counted
        See :func:`node_colours`.

    Raises
    ------
    ConfigError
        If colours shall be counted where nodes have outputs of their own.
    """
    if counted and dataset.level == "node":
        raise ConfigError(
            "wl_counted tells nodes of one colour apart by the order in which they stand: that is for "
            "outputs of whole graphs"
        )
    packed = coloured(dataset.graphs, rounds, counted)
    common = common_colours(packed.encodings[f"wl:{rounds}"], packed.node_counts, graphs, min_graphs)
    return dataclasses.replace(dataset, graphs=packed), common


def _hashes(features: Shaped[Tensor, "rows *columns"] | None, rows: int) -> np.ndarray:
    if features is None or features.is_floating_point():
        return np.zeros(rows, np.uint64)
    columns = features[:, None] if features.ndim == 1 else features.flatten(1)
    return row_hashes(columns.cpu().to(torch.int64).numpy())
