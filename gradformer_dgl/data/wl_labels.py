"""Weisfeiler-Leman (WL) labels of nodes: a hash of the neighbourhood of a node up to a number of hops.

Two nodes have the same label after r rounds if the trees of walks of r hops that begin at them are the same,
categories of nodes and edges included.
"""

import copy

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.wl_labels_kernel import graphs_with, number_repeats, refine, row_hashes


def wl_labels(graphs: PackedGraphs, rounds: int, counted: bool = False) -> Int64[Tensor, "nodes rounds"]:
    """Return the label of every node after 1, 2, ... rounds.

    Parameters
    ----------
    graphs : PackedGraphs
        Their node and edge features are part of the labels where they are categories (integers or bool);
        measured features (float) are not.
    rounds : int
        Rounds of refinement, at least 1.
    counted : bool
        Give the second, third, ... node of a graph with the same label another one, the same in all graphs.
        The set of labels of a graph then tells how often each occurs, and two graphs share as many labels as
        an optimal assignment of their nodes matches. It is undefined which of the nodes is the second.

    Returns
    -------
    Tensor
        Shape (nodes, rounds), int64: a hash for each label, the same in every data set and process. Two
        different labels share a hash with a chance of 2 ** -64.

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
    >>> [labels.unique(return_inverse=True)[1].unique().numel() for labels in wl_labels(path, 2).T]
    [2, 3]
    """
    labels = np.empty((graphs.num_nodes, rounds), np.uint64)
    refine(
        graphs.node_counts.numpy(),
        graphs.edge_counts.numpy(),
        graphs.src.cpu().numpy(),
        graphs.dst.cpu().numpy(),
        _hashes(graphs.edge_features, graphs.num_edges),
        _hashes(graphs.node_features, graphs.num_nodes),
        labels,
    )
    if counted:
        number_repeats(graphs.node_counts.numpy(), labels)
    return torch.from_numpy(labels.view(np.int64)).to(graphs.device)


def common_labels(
    labels: Int64[Tensor, "nodes rounds"],
    node_counts: Int64[Tensor, " graphs"],
    graphs: Int64[Tensor, " chosen"],
    min_graphs: int,
) -> list[Int64[Tensor, " known"]]:
    """Return, for every round, the labels that occur in enough of the chosen graphs.

    Parameters
    ----------
    labels : Tensor
        Shape (nodes, rounds), from :func:`wl_labels`.
    node_counts : Tensor
        Shape (graphs,), nodes per graph.
    graphs : Tensor
        Numbers of the graphs that count, usually those of the training split.
    min_graphs : int
        In how many of them a label must occur.

    Returns
    -------
    list of Tensor
        One for each round: the hashes in ascending order.

    Examples
    --------
    >>> labels = torch.tensor([[7], [7], [5], [7], [5]])
    >>> common_labels(labels, torch.tensor([3, 1, 1]), torch.tensor([0, 1, 2]), min_graphs=2)
    [tensor([5, 7])]
    >>> common_labels(labels, torch.tensor([3, 1, 1]), torch.tensor([0, 1]), min_graphs=2)
    [tensor([7])]
    """
    graph_of_node = torch.arange(len(node_counts)).repeat_interleave(node_counts)
    counts = torch.zeros(len(node_counts), dtype=torch.bool)
    counts[graphs] = True
    nodes = counts[graph_of_node].nonzero()[:, 0]
    owners = graph_of_node[nodes].numpy()
    common = []
    for column in labels.cpu()[nodes].T:
        known, places = column.unique(return_inverse=True)
        enough = graphs_with(places.numpy(), owners, len(known)) >= min_graphs
        common.append(known[torch.from_numpy(enough)])
    return common


def with_wl_labels(graphs: PackedGraphs, rounds: int, counted: bool = False) -> PackedGraphs:
    """Return the graphs with their labels as the encoding ``"wl:R"``; see :func:`wl_labels`.

    Examples
    --------
    >>> import dgl
    >>> graphs = PackedGraphs.from_graphs([dgl.graph(([0, 1], [1, 0]))])
    >>> alike, apart = (with_wl_labels(graphs, 1, counted).encodings["wl:1"] for counted in (False, True))
    >>> len(alike.unique()), len(apart.unique())
    (1, 2)
    """
    found = copy.copy(graphs)
    found.encodings = {**graphs.encodings, f"wl:{rounds}": wl_labels(graphs, rounds, counted)}
    return found


def _hashes(features: Shaped[Tensor, "rows *columns"] | None, rows: int) -> np.ndarray:
    if features is None or features.is_floating_point():
        return np.zeros(rows, np.uint64)
    columns = features[:, None] if features.ndim == 1 else features.flatten(1)
    return row_hashes(columns.cpu().to(torch.int64).numpy())
