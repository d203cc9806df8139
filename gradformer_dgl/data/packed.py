"""A whole data set as a few tensors, out of which batches are cut."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dgl
import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.format import SPARSE
from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.dgl_features import (
    AUTO,
    NODE_LABEL_KEY,
    FeatureKey,
    feature_keys,
    frame_features,
    graphs_and_labels,
    node_labels,
    stack_labels,
)
from gradformer_dgl.graphs.edge_list import batched_graph
from gradformer_dgl.pairs.distances import PairDistances, in_steps
from gradformer_dgl.pairs.ragged import Rows, starts_of
from gradformer_dgl.pairs.sparse import Distances, SparsePairDistances
from gradformer_dgl.preprocess import GraphStructures
from gradformer_dgl.support.errors import DataError, GraphError

# What takes the least memory, and what encoders take.
_IN_A_BATCH = {torch.bool: torch.float32, torch.uint8: torch.int64}


SHORTEST_PATH = "shortest_path"


@dataclass(eq=False)
class PackedGraphs:
    r"""Many graphs as a few flat tensors, graph after graph.

    A batch is cut out of them with a handful of tensor operations and one :class:`dgl.DGLGraph`; no
    Python runs per graph. The tensors may lie on a GPU (:meth:`to`): batches then are cut there, and
    where the installed DGL has no build for it, an :class:`~gradformer_dgl.graphs.edge_list.EdgeList` stands
    in for the graph.

    Parameters
    ----------
    node_counts, edge_counts : Tensor
        Shape (graphs,), int64: nodes and directed edges per graph; 0 is allowed. Kept on the CPU.
    src, dst : Tensor
        Shape (edges,), int32: the ends of the edges, node ids counted from 0 in each graph.
    node_features : Tensor, optional
        Shape (nodes, columns), float; or (nodes,) or (nodes, columns), int64 categories. Or, to take less
        memory, uint8 categories, which become int64 in a batch, and bool columns, which become float32.
    edge_features : Tensor, optional
        The same, per edge.
    labels : Tensor, optional
        Shape (graphs, ...), or (nodes, ...) where ``label_level`` is ``"node"``.
    distances : PairDistances or SparsePairDistances, optional
        Shortest-path distances; usually attached by :meth:`with_cache`.
    encodings : dict of str to Tensor
        Node encodings by name, each of shape (nodes, k).
    label_level : {"graph", "node"}
        What a label belongs to.

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
    >>> packed = PackedGraphs.from_graphs(graphs, labels=torch.tensor([1, 0]))
    >>> len(packed)
    2
    >>> batch = packed.batch([1, 0])
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
        self._check_length("node_features", self.node_features, self.num_nodes)
        self._check_length("edge_features", self.edge_features, self.num_edges)
        for name, encoding in self.encodings.items():
            self._check_length(f"the encoding {name}", encoding, self.num_nodes)
        self._check_length("labels", self.labels, self.num_nodes if self._node_level else len(self))
        if self.distances is not None and not torch.equal(self.distances.node_counts.cpu(), self.node_counts):
            raise GraphError("the distances are of graphs with other node counts")
        self._check_finite("node", self.node_features, self.node_counts)
        self._check_finite("edge", self.edge_features, self.edge_counts)

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
        """Memory that edges, features, labels, distances and encodings take."""
        parts = [self.src, self.dst, self.node_features, self.edge_features, self.labels]
        parts += self.encodings.values()
        of_distances = 0 if self.distances is None else self.distances.nbytes
        return of_distances + sum(part.nbytes for part in parts if part is not None)

    @property
    def device(self) -> torch.device:
        """Where edges, features and distances lie."""
        return self.src.device

    @property
    def splits_nodes(self) -> bool:
        """Whether nodes are trained on, validated and tested, all of one graph."""
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
            For example a DGL data set.
        labels : Tensor or sequence, optional
            One label per graph, in place of those in ``graphs``. Where there is neither,
            ``ndata["label"]`` (one label per node) is taken if there is one.
        node_features, edge_features : str or None
            Key in ``ndata`` and ``edata``. By default the first that exists of ``"feat"``, ``"attr"``,
            ``"node_attr"``/``"edge_attr"``, ``"node_labels"``/``"edge_labels"``, ``"h"``/``"e"``;
            None takes no features.

        Returns
        -------
        PackedGraphs

        Raises
        ------
        GraphError
            If the graphs are not homogeneous DGL graphs with the same features.
        """
        parts, own_labels = graphs_and_labels(graphs)
        if not parts:
            raise GraphError("no graphs to pack: the list is empty")
        # Only what is read has to agree. A graph without nodes or edges may lack their features.
        with_nodes = next((part for part in parts if part.num_nodes()), parts[0])
        with_edges = next((part for part in parts if part.num_edges()), parts[0])
        node_keys = feature_keys(with_nodes.ndata, node_features, "ndata")
        edge_keys = feature_keys(with_edges.edata, edge_features, "edata")
        given = stack_labels(own_labels if labels is None else labels)
        if given is None and NODE_LABEL_KEY in with_nodes.ndata:
            node_keys.append(NODE_LABEL_KEY)
        try:
            whole = dgl.batch(parts, node_keys, edge_keys)
        except dgl.DGLError as error:
            raise GraphError(f"these graphs cannot be one data set: {_one_line(error)}") from error
        node_counts, edge_counts = whole.batch_num_nodes().long(), whole.batch_num_edges().long()
        src, dst = whole.edges()
        first = torch.repeat_interleave(starts_of(node_counts), edge_counts)
        of_nodes = node_labels(whole) if given is None else None
        return cls(
            node_counts,
            edge_counts,
            (src - first).int(),
            (dst - first).int(),
            node_features=frame_features(whole.ndata, node_features, "ndata"),
            edge_features=frame_features(whole.edata, edge_features, "edata"),
            labels=of_nodes if given is None else given,
            label_level="node" if of_nodes is not None else "graph",
        )

    def structures(self) -> GraphStructures:
        """Return the graphs' structure as NumPy arrays, which preprocessing and fingerprints read."""
        return GraphStructures(
            self.node_counts.numpy(),
            self.edge_counts.numpy(),
            self.src.cpu().numpy(),
            self.dst.cpu().numpy(),
        )

    def with_cache(
        self,
        cache: DistanceCache,
        verify: bool = True,
        distance: str = SHORTEST_PATH,
        unit: float = 1.0,
    ) -> "PackedGraphs":
        """Attach the distances and all node encodings of a cache: near pairs, where it is sparse.

        Parameters
        ----------
        cache : DistanceCache
            Of the same graphs, in the same order.
        verify : bool
            Compare every graph's fingerprint with the one in the cache first.
        distance : str
            ``"shortest_path"``, or another distance that the cache holds, such as ``"resistance"``.
        unit : float
            Other distances are rounded to whole numbers of this unit.

        Returns
        -------
        PackedGraphs
            With the same tensors, and distances and encodings beside them.

        Raises
        ------
        CacheError
            If the cache is of other graphs (the message names the first that differs) or broken, or does
            not hold the distance.
        """
        if verify:
            cache.verify(self.structures())
        attached = copy.copy(self)
        attached.distances = self._cached_distances(cache, distance, unit).to(self.device)
        attached.encodings = {
            name: torch.from_numpy(cache.encoding(name)).to(self.device) for name in cache.encodings
        }
        return attached

    def _cached_distances(self, cache: DistanceCache, distance: str, unit: float) -> Distances:
        if distance == SHORTEST_PATH and cache.layout == SPARSE:
            return SparsePairDistances.from_cache(cache)
        if distance == SHORTEST_PATH:
            values, longest = cache.read(), cache.longest_distance
        else:
            values, longest = in_steps(cache.read_extra_distances(distance), unit)
        return PairDistances(torch.from_numpy(values), self.node_counts, longest=longest)

    def to(self, device: torch.device | str) -> "PackedGraphs":
        """Return the same data set on another device, where its batches are then cut."""
        moved = copy.copy(self)
        for name in ("src", "dst", "node_features", "edge_features", "labels", "distances"):
            part = getattr(self, name)
            setattr(moved, name, None if part is None else part.to(device))
        moved.encodings = {name: encoding.to(device) for name, encoding in self.encodings.items()}
        return moved

    def part(self, start: int, stop: int) -> "PackedGraphs":
        """Return the graphs ``start .. stop`` with their features alone, without copying.

        Examples
        --------
        >>> import dgl
        >>> packed = PackedGraphs.from_graphs([dgl.graph(([0], [1])), dgl.graph(([0, 1], [1, 2]))])
        >>> packed.part(1, 2).src.tolist()
        [0, 1]
        """
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
        """Cut some graphs out, in the order given.

        Parameters
        ----------
        indices : Tensor, sequence of int or slice
            Graph numbers; negative ones count from the end, repeated ones are allowed.

        Returns
        -------
        GraphBatch
            Only what is attached is cut: without a cache, ``distances`` is None.

        Raises
        ------
        IndexError
            If there is no such graph.
        GraphError
            If the indices are no graph numbers.
        """
        chosen = self._numbers(indices)
        node_counts, edge_counts = self.node_counts[chosen], self.edge_counts[chosen]
        nodes = Rows(self._node_starts[chosen], node_counts, self.device)
        edges = Rows(self._edge_starts[chosen], edge_counts, self.device)
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

    def _numbers(self, indices: Tensor | Sequence[int] | slice) -> Tensor:
        if isinstance(indices, slice):
            return torch.arange(len(self))[indices]
        chosen = torch.as_tensor(indices).cpu()
        if chosen.ndim != 1 or (len(chosen) and (chosen.is_floating_point() or chosen.dtype == torch.bool)):
            raise GraphError(
                f"indices must be graph numbers of shape (graphs,), but are {chosen.dtype} of shape "
                f"{tuple(chosen.shape)}; take mask.nonzero()[:, 0] of a mask"
            )
        chosen = chosen.long()
        if len(chosen) and not -len(self) <= int(chosen.min()) <= int(chosen.max()) < len(self):
            wrong = int(chosen.min()) if int(chosen.min()) < -len(self) else int(chosen.max())
            raise IndexError(f"graph {wrong} of {len(self)}")
        return torch.where(chosen < 0, chosen + len(self), chosen)

    def _labels(self, chosen: Tensor, nodes: Rows) -> Tensor | None:
        if self.labels is None:
            return None
        return nodes.take(self.labels) if self._node_level else self.labels[chosen.to(self.device)]

    def _distances(self, chosen: Tensor, node_counts: Tensor) -> Distances | None:
        if self.distances is None:
            return None
        if isinstance(self.distances, SparsePairDistances):
            return self.distances.select(chosen)
        pairs = Rows(self._pair_starts[chosen], node_counts.square(), self.device)
        return self.distances.selection(pairs.take(self.distances.values), node_counts)

    @cached_property
    def _node_starts(self) -> Tensor:
        return starts_of(self.node_counts)

    @cached_property
    def _edge_starts(self) -> Tensor:
        return starts_of(self.edge_counts)

    @cached_property
    def _pair_starts(self) -> Tensor:
        return starts_of(self.node_counts.square())

    def _check_length(self, name: str, values: Tensor | None, expected: int) -> None:
        if values is not None and (values.ndim == 0 or len(values) != expected):
            given = "a scalar" if values.ndim == 0 else f"{len(values)} rows"
            raise GraphError(f"{name} must have {expected} rows, one for each, but has {given}")

    def _check_finite(self, part: str, values: Tensor | None, counts: Tensor) -> None:
        if values is None or not values.is_floating_point():
            return
        wrong = ~torch.isfinite(values.flatten(1) if values.ndim > 1 else values[:, None]).all(1)
        if not wrong.any():
            return
        row = int(wrong.nonzero()[0])
        graph = int(torch.searchsorted(counts.cumsum(0), row, right=True))
        number = row - int(starts_of(counts)[graph])
        raise DataError(
            f"a feature of {part} {number} of graph {graph} is NaN or infinite; "
            "mend the data or leave the graph out"
        )


def _contiguous(part: Tensor) -> Tensor:
    # An empty one may have steps of 0, with which torch does not show its bytes.
    if part.numel():
        return part.contiguous()
    return torch.empty_like(part, memory_format=torch.contiguous_format)


def _features(rows: Rows, features: Tensor | None) -> Tensor | None:
    if features is None:
        return None
    taken = rows.take(features)
    return taken.to(_IN_A_BATCH.get(taken.dtype, taken.dtype))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
