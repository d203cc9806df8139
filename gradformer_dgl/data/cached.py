"""Distances and encodings of a cache, for any DGL data set of (graph, label)."""

from collections.abc import Mapping, Sequence
from typing import Any

import dgl
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.format import SPARSE
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.dgl_features import AUTO, FeatureKey, frame_features, node_labels, stack_labels
from gradformer_dgl.pairs.distances import PairDistances, in_steps
from gradformer_dgl.pairs.sparse import Distances, SparsePairDistances
from gradformer_dgl.support.errors import CacheError, GraphError, one_line

SHORTEST_PATH = "shortest_path"
Item = tuple[dgl.DGLGraph, Tensor, dict[str, Tensor], Any]


class CachedGraphDataset(Dataset):
    """A DGL data set with the cache of its distances.

    Distances and encodings are read from the file item by item. The object can be pickled, and sent to the
    workers of a data loader.

    Parameters
    ----------
    dataset : sequence of (dgl.DGLGraph, label) or of dgl.DGLGraph
        For example a :class:`dgl.data.DGLDataset`, or a list.
    cache : DistanceCache
        Of the same graphs in the same order.
    verify : bool
        Compare every graph with its fingerprint in the cache first; this reads the whole data set once.

    Raises
    ------
    CacheError
        If the cache is of other graphs, or of another number of graphs.

    Examples
    --------
    >>> import tempfile, dgl
    >>> from gradformer_dgl.preprocess import preprocess_graphs
    >>> graphs = [(dgl.graph(([0, 1], [1, 2])), 1), (dgl.graph(([0], [1])), 0)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = CachedGraphDataset(graphs, preprocess_graphs(graphs, f"{folder}/two.h5", n_jobs=1))
    ...     graph, distances, encodings, label = dataset[0]
    >>> distances.tolist(), label
    ([[0, 1, 2], [1, 0, 1], [2, 1, 0]], 1)
    """

    def __init__(self, dataset: Any, cache: DistanceCache, verify: bool = True) -> None:
        if len(dataset) != len(cache):
            raise CacheError(
                f"{cache.path} is of {len(cache)} graphs, but the data set has {len(dataset)}; "
                "preprocess this data set"
            )
        if verify:
            cache.verify(dataset)
        self.dataset = dataset
        self.cache = cache

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Item:
        """Return (graph, distances, encodings, label); the label is None where the data set has graphs only.

        Distances are (n, n), uint8 or uint16 with the dtype's maximum for unreachable pairs.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"graph {number} of {len(self)}")
        number %= len(self)
        item = self.dataset[number]
        graph, label = item if isinstance(item, (tuple, list)) else (item, None)
        distances = torch.from_numpy(self.cache[number])
        encodings = {
            name: torch.from_numpy(self.cache.encoding(name, number)) for name in self.cache.encodings
        }
        return graph, distances, encodings, label


def collate(
    items: Sequence[Item], *, node_features: FeatureKey = AUTO, edge_features: FeatureKey = AUTO
) -> GraphBatch:
    """Put items of a :class:`CachedGraphDataset` into one batch.

    Parameters
    ----------
    items : sequence of (graph, distances, encodings, label)
        At least one.
    node_features, edge_features : str or None
        The key in ``ndata`` and ``edata``. By default the first that exists of ``"feat"``, ``"attr"``,
        ``"node_attr"``/``"edge_attr"``, ``"node_labels"``/``"edge_labels"``, ``"h"``/``"e"``; None
        takes none. Choose others with :func:`functools.partial`, which keeps the function picklable.

    Returns
    -------
    GraphBatch
        Labels are stacked to (graphs, ...); where items have none, ``ndata["label"]`` (nodes, ...) is
        taken if there is one.

    Raises
    ------
    GraphError
        If the graphs, encodings or labels do not fit together.

    Examples
    --------
    >>> from functools import partial
    >>> graph = dgl.graph(([0], [1]))
    >>> graph.ndata["x"] = torch.tensor([[0.5], [1.5]])
    >>> items = [(graph, torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8), {}, 1.0)]
    >>> batch = partial(collate, node_features="x")(items)
    >>> batch.node_features.flatten().tolist(), batch.labels.tolist()
    ([0.5, 1.5], [1.0])
    """
    if not items:
        raise GraphError("no graphs to batch: the list is empty")
    graphs, distances, encodings, labels = zip(*items, strict=True)
    try:
        batched = dgl.batch(list(graphs))
    except dgl.DGLError as error:
        raise GraphError(f"these graphs cannot be one batch: {one_line(error)}") from error
    node_counts = batched.batch_num_nodes().to(torch.int64)
    without_label = sum(label is None for label in labels)
    if 0 < without_label < len(labels):
        raise GraphError(
            f"{without_label} of {len(labels)} graphs have no label; give all of them one, or none"
        )
    return GraphBatch(
        graph=batched,
        distances=PairDistances(_flat(distances), node_counts),
        node_features=frame_features(batched.ndata, node_features, "ndata"),
        edge_features=frame_features(batched.edata, edge_features, "edata"),
        encodings=_stacked(encodings),
        labels=node_labels(batched) if without_label else stack_labels(labels),
        node_counts=node_counts,
    )


def cached_distances(
    cache: DistanceCache,
    node_counts: Int64[Tensor, " graphs"],
    distance: str = SHORTEST_PATH,
    unit: float = 1.0,
) -> Distances:
    """Read the distances of all graphs of a cache; a sparse one gives sparse pair distances.

    ``node_counts`` is (graphs,). Another ``distance`` than the default, such as ``"resistance"``, is rounded
    to whole numbers of ``unit``.
    """
    if distance == SHORTEST_PATH and cache.layout == SPARSE:
        return SparsePairDistances.from_cache(cache)
    if distance == SHORTEST_PATH:
        values, longest = cache.read(), cache.longest_distance
    else:
        values, longest = in_steps(cache.read_extra_distances(distance), unit)
    return PairDistances(torch.from_numpy(values), node_counts, longest=longest)


def _flat(distances: Sequence[Tensor]) -> Tensor:
    flat = [one.flatten() for one in distances]
    if all(one.dtype != torch.uint16 for one in flat):
        return torch.cat(flat)
    return torch.cat([_wide(one).view(torch.int16) for one in flat]).view(torch.uint16)


def _wide(distances: Tensor) -> Tensor:
    """Return distances as uint16, of which not all that torch has can be done."""
    if distances.dtype != torch.uint8:
        return distances
    return distances.int().masked_fill(distances == 255, 65535).to(torch.uint16)


def _stacked(encodings: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    kinds = [{name: tuple(one.shape[1:]) for name, one in of_graph.items()} for of_graph in encodings]
    if any(kind != kinds[0] for kind in kinds):
        other = next(kind for kind in kinds if kind != kinds[0])
        raise GraphError(f"graphs of one batch must have the same encodings, but have {kinds[0]} and {other}")
    return {name: torch.cat([of_graph[name] for of_graph in encodings]) for name in kinds[0]}
