"""Memory of a training step on one large graph, estimated before the first one."""

import copy
import logging
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.pairs import sparse_memory
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.preprocess.estimate import bytes_text

SAMPLED = 512
"""Nodes of the small graph on which a step is measured."""

STEP_PEAK = 1.3
"""Peak of a training step over that of the tensors on a small graph: loops and libraries take the rest."""

_logger = logging.getLogger("gradformer_dgl")


def require_step_memory(network: nn.Module, graphs: PackedGraphs, what: str) -> None:
    """Log the memory of a training step on one large graph with sparse pair distances, or refuse it.

    Neither the network nor the state of torch's random numbers changes.
    """
    near = graphs.distances
    if (
        not isinstance(near, SparsePairDistances)
        or not graphs.splits_nodes
        or near.num_nodes < sparse_memory.SMALL
    ):
        return
    if any(part.device.type != "cpu" for part in network.parameters()):
        return
    with torch.random.fork_rng(devices=[]):
        node_bytes = step_bytes(copy.deepcopy(network), _small_graph(graphs, near))
    held = graphs.num_bytes
    step = sparse_memory.require_step(near, node_bytes, held - near.nbytes)
    _logger.info(
        "%s: a training step takes about %s of memory, beside %s of data and sparse pairs",
        what,
        bytes_text(step),
        bytes_text(held),
    )


def _small_graph(graphs: PackedGraphs, near: SparsePairDistances) -> GraphBatch:
    """Return a graph of as many edges per node and the same features, with the pairs of equal nodes alone."""
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


def step_bytes(model: nn.Module, batch: GraphBatch) -> float:
    """Measure the memory of a training step per node, beside the pairs: activations and their gradients.

    The batch is a small one like the graph that is trained on: as many edges per node, sparse distances. The
    result is 7 % less to 18 % more than the peak on graphs of 60,000 and 150,000 nodes.
    """
    weights = [part for part in model.parameters() if part.requires_grad]
    was_training, live = model.training, _Live()
    model.train()
    with torch.enable_grad(), live:
        out = model(batch)
        # Not backward(), which would leave gradients with the model.
        grads = torch.autograd.grad(out, weights, torch.ones_like(out), allow_unused=True)
    model.train(was_training)
    of_weights = sum(grad.nbytes for grad in grads if grad is not None)
    return STEP_PEAK * (live.peak - of_weights) / max(1, batch.graph.num_nodes())


class _Live(TorchDispatchMode):
    """Count the bytes of the tensors that operations make, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._storages: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {part.untyped_storage().data_ptr() for part in _tensors((args, kwargs))}
        for part in _tensors(out):
            storage = part.untyped_storage()
            place = storage.data_ptr()
            if place not in given and place not in self._storages:
                self._add(place, storage)
        self.peak = max(self.peak, self.now)
        return out

    def _add(self, place: int, storage: Any) -> None:
        size = storage.nbytes()

        def forget(_: Any) -> None:
            self.now -= size
            del self._storages[place]

        self.now += size
        self._storages[place] = weakref.ref(storage, forget)


def _tensors(parts: Any) -> list[Tensor]:
    return [part for part in tree_leaves(parts) if isinstance(part, Tensor)]
