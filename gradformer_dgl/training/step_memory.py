"""What a training step on one large graph takes in memory, told before the first one."""

import copy
import logging

import torch
from torch import nn

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.pairs import sparse_estimate
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.preprocess.estimate import bytes_text

SAMPLED = 512
"""Nodes of the small graph on which a step is measured."""

_logger = logging.getLogger("gradformer_dgl")


def require_step_memory(network: nn.Module, graphs: PackedGraphs, what: str) -> None:
    """Log what a training step on one large graph with near pairs will take; of others nothing is told.

    Neither the network nor the state of torch's random numbers changes.

    Parameters
    ----------
    network : nn.Module
        Called with a batch.
    graphs : PackedGraphs
        The data set, with its distances, on the CPU.
    what : str
        What is trained, for the message.

    Raises
    ------
    GraphError
        If the machine has too little memory; see
        :func:`~gradformer_dgl.pairs.sparse_estimate.require_step`.
    """
    near = graphs.distances
    if (
        not isinstance(near, SparsePairDistances)
        or not graphs.splits_nodes
        or near.num_nodes < sparse_estimate.SMALL
    ):
        return
    if any(part.device.type != "cpu" for part in network.parameters()):
        return
    with torch.random.fork_rng(devices=[]):
        node_bytes = sparse_estimate.step_bytes(copy.deepcopy(network), _small_graph(graphs, near))
    held = graphs.num_bytes
    step = sparse_estimate.require_step(near, node_bytes, held - near.nbytes)
    _logger.info(
        "%s: a training step takes about %s of memory, beside %s of data and near pairs",
        what,
        bytes_text(step),
        bytes_text(held),
    )


def _small_graph(graphs: PackedGraphs, near: SparsePairDistances) -> GraphBatch:
    """Return a graph with as many edges a node and the same features, whose nodes are near to themselves."""
    nodes = min(SAMPLED, graphs.num_nodes)
    edges = round(nodes * graphs.num_edges / graphs.num_nodes)
    src, dst = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    counts, own = torch.tensor([nodes]), torch.arange(nodes, dtype=torch.int32)
    small = PackedGraphs(
        counts,
        torch.tensor([edges]),
        src,
        dst,
        node_features=None if graphs.node_features is None else graphs.node_features[:nodes],
        edge_features=None if graphs.edge_features is None else graphs.edge_features[:edges],
        distances=SparsePairDistances(
            torch.arange(nodes + 1), own, torch.zeros(nodes, dtype=torch.uint8), counts, near.max_distance
        ),
        encodings={name: encoding[:nodes] for name, encoding in graphs.encodings.items()},
        label_level=graphs.label_level,
    )
    return small.batch([0])
