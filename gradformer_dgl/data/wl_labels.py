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
    """Return the label of every node after 1, 2, ... rounds: (nodes, rounds), int64.

    A label is a hash, the same in every data set and process; two share one with a chance of 2 ** -64.
    Features of nodes and edges are part of it where they are categories (integers or bool).

    ``counted`` gives the second, third, ... node of a graph with the same label another one, the same in all
    graphs: two graphs share as many labels as an optimal assignment of their nodes matches. It is undefined
    which of the nodes is the second.

    Notes
    -----
    Weisfeiler, Leman: "The reduction of a graph to canonical form and the algebra which appears therein",
    Nauchno-Technicheskaya Informatsia 2 (1968). As encodings of nodes in a graph transformer: Zhang et al.,
    "Graph-Bert: Only attention is needed for learning graph representations", 2020. Optimal assignment:
    Kriege, Giscard, Wilson, "On valid optimal assignment kernels and applications to graph classification",
    NeurIPS 2016.
    """
    labels = np.empty((graphs.num_nodes, rounds), np.uint64)
    edges = _hashes(graphs.edge_features, graphs.num_edges)
    nodes = _hashes(graphs.node_features, graphs.num_nodes)
    refine(*graphs.structures().arrays, edges, nodes, labels)
    if counted:
        number_repeats(graphs.node_counts.numpy(), labels)
    return torch.from_numpy(labels.view(np.int64)).to(graphs.device)


def common_labels(
    labels: Int64[Tensor, "nodes rounds"],
    node_counts: Int64[Tensor, " graphs"],
    graphs: Int64[Tensor, " chosen"],
    min_graphs: int,
) -> list[Int64[Tensor, " known"]]:
    """Return for every round the labels in at least ``min_graphs`` of the chosen graphs, in ascending order.

    ``labels`` are (nodes, rounds), ``node_counts`` (graphs,), the numbers of the chosen ``graphs`` (chosen,).
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
    """Return the graphs with their labels as the encoding ``"wl:R"``; see :func:`wl_labels`."""
    found = copy.copy(graphs)
    found.encodings = {**graphs.encodings, f"wl:{rounds}": wl_labels(graphs, rounds, counted)}
    return found


def _hashes(features: Shaped[Tensor, "rows *columns"] | None, rows: int) -> np.ndarray:
    if features is None or features.is_floating_point():
        return np.zeros(rows, np.uint64)
    columns = features[:, None] if features.ndim == 1 else features.flatten(1)
    return row_hashes(columns.cpu().to(torch.int64).numpy())
