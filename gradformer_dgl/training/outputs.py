"""Outputs of a network for graphs of a data set, and their labels."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.pairs.ragged_rows import Rows, starts_of
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.batch_loader import THE_ONLY_GRAPH, BatchLoader
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.network import Network

EVALUATION_BATCHES = 4
"""Batches of training in one batch without gradients."""


@torch.no_grad()
def predict(
    network: Network, loader: BatchLoader, indices: Int64[Tensor, " _"], size: int, ranks: Ranks = ALONE
) -> Float[Tensor, "items outputs"]:
    """Return the outputs of a network, (items, outputs), in the order of the graph numbers, on the CPU.

    They are on the training scale. Each rank computes those of some of the graphs, and all get all of them.
    Where nodes are split, they are those of these nodes, and every rank computes all.
    """
    network.eval()
    if loader.graphs.splits_nodes:
        return network(loader.batch(THE_ONLY_GRAPH)).cpu()[indices]
    own = indices.tensor_split(ranks.size)[ranks.rank]
    outputs = [network(batch).cpu() for batch in loader.each(own.split(size))]
    return ranks.concatenate(torch.cat(outputs))


def labels_of(dataset: GraphDataset, indices: Int64[Tensor, " _"]) -> Shaped[Tensor, "items *outputs"]:
    """Return labels of graphs, or of all their nodes, in the order of the numbers."""
    labels = dataset.graphs.labels
    if labels is None:
        raise DataError(f"{dataset.name} has no labels to train on")
    if dataset.level == "graph" or dataset.splits_nodes:
        return labels[indices]
    counts = dataset.graphs.node_counts
    return Rows(starts_of(counts)[indices], counts[indices], labels.device).take(labels)
