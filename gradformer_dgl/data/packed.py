"""Packed graphs: a whole data set as a few flat tensors, out of which batches are cut."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.cached import SHORTEST_PATH, cached_distances
from gradformer_dgl.data.dgl_features import AUTO, FeatureKey, packed_tensors
from gradformer_dgl.data.packed_checks import check_finite, check_rows, graph_numbers
from gradformer_dgl.graphs.edge_list import batched_graph
from gradformer_dgl.pairs.ragged_rows import Rows, starts_of
from gradformer_dgl.pairs.sparse import Distances, SparsePairDistances
from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.support.errors import GraphError

_DTYPE_IN_BATCH = {torch.bool: torch.float32, torch.uint8: torch.int64}
"""Types that encoders take, in place of the smaller ones that features are kept in."""


@dataclass(eq=False)
class PackedGraphs:
    r"""Many graphs as a few flat tensors, graph after graph.

    A batch is cut out of them with a handful of tensor operations, on a GPU too (:meth:`to`); no Python runs
    per graph. Where DGL has no build for the GPU, the batch has an
    :class:`~gradformer_dgl.graphs.edge_list.EdgeList` for its graph.

    Parameters
    ----------
    node_counts, edge_counts : Tensor
        Shape (graphs,), int64: nodes and directed edges per graph; 0 is allowed. Kept on the CPU.
    src, dst : Tensor
        Shape (edges,), int32: the ends of the edges, node ids counted from 0 in each graph.
    node_features, edge_features : Tensor, optional
        Shape (rows, columns), float; or (rows,) or (rows, columns), int64 categories. Or, to take less
        memory, uint8 categories, which become int64 in a batch, and bool columns, which become float32.
    labels : Tensor, optional
        Shape (graphs, ...), or (nodes, ...) where ``label_level`` is ``"node"``.
    distances : PairDistances or SparsePairDistances, optional
        Shortest-path distances; usually attached by :meth:`with_cache`.
    encodings : dict of str to Tensor
        Node encodings by name, each of shape (nodes, k).
    label_level : {"graph", "node"}
        Owner of a label.

    Raises
    ------
    GraphError
        If lengths do not agree, or an edge points to a node that its graph does not have.
    DataError
        If a feature is NaN or infinite; the message names the graph.

    Examples
    --------
    >>> import dgl, torch
    >>> graphs = [dgl.graph(([0, 1], [1, 2])), dgl.graph(([0], [1]))]
    >>> batch = PackedGraphs.from_graphs(graphs, labels=torch.tensor([1, 0])).batch([1, 0])
    >>> batch.graph.batch_num_nodes().tolist(), batch.labels.tolist()
    ([2, 3], [0, 1])
    """

    node_counts: Int64[Tensor, " graphs"]
    edge_counts: Int64[Tensor, " graphs"]
    src: Int32[Tensor, " edges"]
    dst: Int32[Tensor, " edges"]
    node_features: Shaped[Tensor, "_nodes *columns"] | None = None
    edge_features: Shaped[Tensor, "_edges *edge_columns"] | None = None
    labels: Tensor | None = None
    distances: Distances | None = None
    encodings: dict[str, Tensor] = field(default_factory=dict)
    label_level: str = "graph"

    def __post_init__(self) -> None:
        # Batches are copied out byte by byte.
        for name in ("src", "dst", "node_features", "edge_features"):
            part = getattr(self, name)
            setattr(self, name, None if part is None else _contiguous(part))
        self.structures()
        check_rows("node_features", self.node_features, self.num_nodes)
        check_rows("edge_features", self.edge_features, self.num_edges)
        for name, encoding in self.encodings.items():
            check_rows(f"the encoding {name}", encoding, self.num_nodes)
        check_rows("labels", self.labels, self.num_nodes if self._node_level else len(self))
        if self.distances is not None and not torch.equal(self.distances.node_counts.cpu(), self.node_counts):
            raise GraphError("the distances are of graphs with other node counts")
        check_finite("node", self.node_features, self.node_counts)
        check_finite("edge", self.edge_features, self.edge_counts)

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all graphs together."""
        return int(self.node_counts.sum())

    @property
    def num_edges(self) -> int:
        """Number of directed edges of all graphs together."""
        return len(self.src)

    @property
    def num_bytes(self) -> int:
        """Bytes of edges, features, labels, distances and encodings."""
        parts: list[Any] = [self.src, self.dst, self.node_features, self.edge_features, self.labels]
        parts += self.encodings.values()
        parts.append(self.distances)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def device(self) -> torch.device:
        """Device of edges, features and distances."""
        return self.src.device

    @property
    def splits_nodes(self) -> bool:
        """True for one graph whose nodes are trained on, validated and tested."""
        return self._node_level and len(self) == 1

    @property
    def _node_level(self) -> bool:
        return self.label_level == "node"

    def __len__(self) -> int:
        return len(self.node_counts)

    @classmethod
    def from_graphs(
        cls,
        graphs: Iterable[Any],
        labels: Any = None,
        *,
        node_features: FeatureKey = AUTO,
        edge_features: FeatureKey = AUTO,
    ) -> "PackedGraphs":
        """Pack DGL graphs.

        Parameters
        ----------
        graphs : iterable of dgl.DGLGraph or of (dgl.DGLGraph, label)
            For example a DGL data set; homogeneous graphs with the same features.
        labels : Tensor or sequence, optional
            One label per graph, in place of those in ``graphs``. Where there is neither,
            ``ndata["label"]`` (one label per node) is taken if there is one.
        node_features, edge_features : str or None
            Key in ``ndata`` and ``edata``; as of :func:`~gradformer_dgl.data.collate`.
        """
        return cls(**packed_tensors(graphs, labels, node_features, edge_features))

    def structures(self) -> GraphStructures:
        """Return the graphs' structure as NumPy arrays, which preprocessing and fingerprints read."""
        return GraphStructures(
            self.node_counts.numpy(), self.edge_counts.numpy(), self.src.cpu().numpy(), self.dst.cpu().numpy()
        )

    def with_cache(
        self, cache: DistanceCache, verify: bool = True, distance: str = SHORTEST_PATH, unit: float = 1.0
    ) -> "PackedGraphs":
        """Attach the distances and all node encodings of a cache; a sparse one gives sparse pair distances.

        Parameters
        ----------
        cache : DistanceCache
            Of the same graphs, in the same order; others raise :class:`CacheError`.
        verify : bool
            Compare every graph's fingerprint with the one in the cache first.
        distance : str
            ``"shortest_path"``, or another that the cache holds, such as ``"resistance"``.
        unit : float
            Other distances are rounded to whole numbers of this unit.
        """
        if verify:
            cache.verify(self.structures())
        attached = copy.copy(self)
        attached.distances = cached_distances(cache, self.node_counts, distance, unit).to(self.device)
        read = {name: torch.from_numpy(cache.encoding(name)) for name in cache.encodings}
        attached.encodings = {name: encoding.to(self.device) for name, encoding in read.items()}
        return attached

    def to(self, device: torch.device | str) -> "PackedGraphs":
        """Return the same data set on another device, where its batches are then cut."""
        moved = copy.copy(self)
        for name in ("src", "dst", "node_features", "edge_features", "labels", "distances"):
            part = getattr(self, name)
            setattr(moved, name, None if part is None else part.to(device))
        moved.encodings = {name: encoding.to(device) for name, encoding in self.encodings.items()}
        return moved

    def part(self, start: int, stop: int) -> "PackedGraphs":
        """Return the graphs ``start .. stop`` with their features alone, without copying."""
        nodes = slice(*(int(self.node_counts[:end].sum()) for end in (start, stop)))
        edges = slice(*(int(self.edge_counts[:end].sum()) for end in (start, stop)))
        return PackedGraphs(
            self.node_counts[start:stop],
            self.edge_counts[start:stop],
            self.src[edges],
            self.dst[edges],
            node_features=None if self.node_features is None else self.node_features[nodes],
            edge_features=None if self.edge_features is None else self.edge_features[edges],
        )

    def batch(self, indices: Tensor | Sequence[int] | slice) -> GraphBatch:
        """Cut some graphs out, in the order given; without a cache the batch has no distances.

        Parameters
        ----------
        indices : Tensor, sequence of int or slice
            Graph numbers (graphs,); negative ones count from the end, repeated ones are allowed.
        """
        chosen = graph_numbers(indices, len(self))
        node_counts, edge_counts = self.node_counts[chosen], self.edge_counts[chosen]
        first_nodes, first_edges, _ = self._starts
        nodes = Rows(first_nodes[chosen], node_counts, self.device)
        edges = Rows(first_edges[chosen], edge_counts, self.device)
        shifts = starts_of(node_counts)
        ends = (edges.take_shifted(self.src, shifts), edges.take_shifted(self.dst, shifts))
        return GraphBatch(
            graph=batched_graph(*ends, nodes.total, nodes.counts, edges.counts),
            distances=self._distances(chosen, node_counts),
            node_features=_features(nodes, self.node_features),
            edge_features=_features(edges, self.edge_features),
            encodings={name: nodes.take(encoding) for name, encoding in self.encodings.items()},
            labels=self._labels(chosen, nodes),
            node_counts=nodes.counts,
        )

    def _labels(self, chosen: Tensor, nodes: Rows) -> Tensor | None:
        if self.labels is None:
            return None
        return nodes.take(self.labels) if self._node_level else self.labels[chosen.to(self.device)]

    def _distances(self, chosen: Tensor, node_counts: Tensor) -> Distances | None:
        if self.distances is None:
            return None
        if isinstance(self.distances, SparsePairDistances):
            return self.distances.select(chosen)
        pairs = Rows(self._starts[2][chosen], node_counts.square(), self.device)
        return self.distances.selection(pairs.take(self.distances.values), node_counts)

    @cached_property
    def _starts(self) -> tuple[Tensor, Tensor, Tensor]:
        """First node, edge and pair of each graph, each of shape (graphs,)."""
        pairs = self.node_counts.square()
        return starts_of(self.node_counts), starts_of(self.edge_counts), starts_of(pairs)


def _contiguous(part: Tensor) -> Tensor:
    # An empty one may have steps of 0, with which torch does not show its bytes.
    if part.numel():
        return part.contiguous()
    return torch.empty_like(part, memory_format=torch.contiguous_format)


def _features(rows: Rows, features: Tensor | None) -> Tensor | None:
    if features is None:
        return None
    taken = rows.take(features)
    return taken.to(_DTYPE_IN_BATCH.get(taken.dtype, taken.dtype))
