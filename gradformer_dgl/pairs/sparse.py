"""Distances of the pairs of nodes within a cut-off, as sparse rows, for attention over large graphs."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int32, Int64, UInt8
from torch import Tensor

from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.ragged_rows import Rows, starts_of
from gradformer_dgl.pairs.sparse_checks import check_rows, checked_cutoff
from gradformer_dgl.pairs.sparse_sources import SparseRows, rows_of, search_rows
from gradformer_dgl.support.errors import ConfigError, GraphError

if TYPE_CHECKING:
    from gradformer_dgl.cache import DistanceCache
    from gradformer_dgl.cache.neighborhood import Neighborhood


class SparsePairDistances:
    r"""Distances within a cut-off, row by row, for every node of a batch of graphs.

    Takes the place of :class:`PairDistances` for large graphs. Attention gives every farther pair the logit
    0, as an exponential decay does but for a small rest, and takes time and memory for the pairs within the
    cut-off alone. :func:`~gradformer_dgl.pairs.cutoff.cutoff_for` finds the cut-off for a tolerance.

    Parameters
    ----------
    indptr : Tensor
        Shape (nodes + 1,), int64: the first pair of each node, nodes of all graphs one after the other, and
        the number of pairs.
    indices : Tensor
        Shape (pairs,), int32: the nodes within the cut-off of each node, itself at the distance 0 among them,
        each once; ids are counted from 0 in each graph.
    distances : Tensor
        Shape (pairs,), uint8, in hops.
    node_counts : Tensor
        Shape (graphs,), int64: nodes per graph; 0 is allowed.
    max_distance : int
        The cut-off in hops: pairs that are not listed are farther, or there is no path.

    Raises
    ------
    GraphError
        If dtypes, shapes, ids or distances do not fit together.
    ConfigError
        If the cut-off is not between 0 and 254.

    Examples
    --------
    >>> sparse = SparsePairDistances.from_graph(([0, 1, 2], [1, 2, 3], 4), max_distance=1)
    >>> sparse
    SparsePairDistances(graphs=1, nodes=4, pairs=10, max_distance=1)
    >>> sparse.indptr.tolist(), sparse.indices.tolist()
    ([0, 2, 5, 8, 10], [0, 1, 0, 1, 2, 1, 2, 3, 2, 3])
    """

    def __init__(
        self, indptr: Tensor, indices: Tensor, distances: Tensor, node_counts: Tensor, max_distance: int
    ) -> None:
        limit = checked_cutoff(max_distance)
        sizes = check_rows(indptr, indices, distances, node_counts, limit)
        self._set(indptr, indices, distances, node_counts.to(indices.device), sizes, limit)

    def _set(
        self,
        indptr: Int64[Tensor, "nodes_and_one"],
        indices: Int32[Tensor, " pairs"],
        distances: UInt8[Tensor, " pairs"],
        node_counts: Int64[Tensor, " graphs"],
        sizes: list[int],
        max_distance: int,
    ) -> None:
        self.indptr, self.indices, self.distances = indptr, indices, distances
        self.node_counts, self.sizes, self.max_distance = node_counts, sizes, max_distance
        self.num_nodes = sum(sizes)
        # What attention computes of a batch once for all layers, by name.
        self.plans: dict[Any, Any] = {}

    @classmethod
    def _of(cls, *parts: Any) -> "SparsePairDistances":
        made = object.__new__(cls)
        made._set(*parts)
        return made

    @classmethod
    def _of_rows(cls, rows: SparseRows) -> "SparsePairDistances":
        indptr, indices, distances, node_counts = (torch.from_numpy(part) for part in rows[:4])
        return cls._of(indptr, indices, distances, node_counts, node_counts.tolist(), rows.max_distance)

    @classmethod
    def from_graph(
        cls, graph: Any, max_distance: int, directed: bool = False, node_bytes: float = 0.0
    ) -> "SparsePairDistances":
        """Search the pairs of a graph, or of a batch of graphs.

        Parameters
        ----------
        graph : dgl.DGLGraph, EdgeList, GraphStructures, networkx.Graph, SciPy matrix or tuple
            A batch of DGL has pairs within its graphs only. A tuple is ``(src, dst, num_nodes)``.
        max_distance : int
            Cut-off in hops.
        directed : bool
            Follow edges from source to destination only. By default every edge counts both ways.
        node_bytes : float
            Bytes per node of a training step, which have to fit too; see
            :func:`~gradformer_dgl.training.step_memory.step_bytes`.

        Returns
        -------
        SparsePairDistances
            On the CPU.

        Raises
        ------
        GraphError
            If it is no graph; or the pairs do not fit into memory: the message says what they take, and which
            cut-off fits.
        ConfigError
            If the cut-off is not between 1 and 254.

        Examples
        --------
        >>> import dgl
        >>> pair, loner = dgl.graph(([0], [1])), dgl.graph(([], []), num_nodes=1)
        >>> SparsePairDistances.from_graph(dgl.batch([pair, loner]), max_distance=3).distances.tolist()
        [0, 1, 1, 0, 0]
        """
        return cls._of_rows(search_rows(graph, max_distance, directed, node_bytes))

    @classmethod
    def from_neighborhoods(
        cls, neighborhoods: Iterable["Neighborhood"], max_distance: int | None = None
    ) -> "SparsePairDistances":
        """Take over the pairs of whole graphs, as ``DistanceCache.neighborhood`` reads them.

        Parameters
        ----------
        neighborhoods : iterable of Neighborhood
            One of each graph, all its rows.
        max_distance : int, optional
            Cut-off in hops. If not given, all pairs are kept, and the cut-off is one hop more than the
            longest distance (but at most 254): no pair is that far apart.

        Raises
        ------
        GraphError
            If a neighborhood does not have the rows of all nodes, or a distance that is kept exceeds 254.
        """
        return cls._of_rows(rows_of(neighborhoods, max_distance))

    @classmethod
    def from_cache(cls, cache: "DistanceCache", max_distance: int | None = None) -> "SparsePairDistances":
        """Read the pairs of all graphs of a cache, of either layout.

        Parameters
        ----------
        cache : DistanceCache
            The cache.
        max_distance : int, optional
            A smaller cut-off than that of the cache, which is taken if not given.

        Raises
        ------
        CacheError
            If the file is broken.
        """
        limit = cache.max_distance if max_distance is None else max_distance
        if limit is not None and cache.max_distance is not None and limit > cache.max_distance:
            raise ConfigError(
                f"{cache.path} has the pairs within {cache.max_distance} hops, not those within {limit}"
            )
        return cls.from_neighborhoods((cache.neighborhood(graph) for graph in range(len(cache))), limit)

    @classmethod
    def batch(cls, parts: Sequence["SparsePairDistances"]) -> "SparsePairDistances":
        """Concatenate batches of graphs with one cut-off.

        Examples
        --------
        >>> path = SparsePairDistances.from_graph(([0], [1], 2), max_distance=1)
        >>> SparsePairDistances.batch([path, path])
        SparsePairDistances(graphs=2, nodes=4, pairs=8, max_distance=1)
        """
        if not parts:
            raise GraphError("there are no sparse pairs to concatenate")
        limits = {part.max_distance for part in parts}
        if len(limits) != 1:
            raise GraphError(f"sparse pairs of one batch have one cut-off, but these have {sorted(limits)}")
        firsts = [0, *np.cumsum([len(part.indices) for part in parts]).tolist()]
        begins = [part.indptr[:-1] + first for part, first in zip(parts, firsts, strict=False)]
        end = parts[0].indptr.new_full((1,), firsts[-1])
        return cls._of(
            torch.cat([*begins, end]),
            torch.cat([part.indices for part in parts]),
            torch.cat([part.distances for part in parts]),
            torch.cat([part.node_counts for part in parts]),
            [size for part in parts for size in part.sizes],
            limits.pop(),
        )

    def select(self, graphs: Int64[Tensor, " chosen"]) -> "SparsePairDistances":
        """Return the pairs of some graphs, in the order given.

        Parameters
        ----------
        graphs : Tensor
            Shape (chosen,), int64, on the CPU: numbers of graphs.

        Examples
        --------
        >>> one = SparsePairDistances.from_graph(([0], [1], 3), max_distance=1)
        >>> two = SparsePairDistances.batch([one, one])
        >>> two.select(torch.tensor([1])).sizes
        [3]
        """
        if torch.equal(graphs, torch.arange(len(self))):
            return self
        counts = torch.tensor(self.sizes, dtype=torch.int64)
        node_starts = starts_of(counts)
        ends = self._graph_ends()
        pair_counts = ends.diff()[graphs]
        nodes = Rows(node_starts[graphs], counts[graphs], self.device)
        pairs = Rows(ends[:-1][graphs], pair_counts, self.device)
        per_node = nodes.take(self.indptr.diff())
        node_counts = counts[graphs]
        return SparsePairDistances._of(
            torch.cat([per_node.new_zeros(1), per_node.cumsum(0)]),
            pairs.take(self.indices),
            pairs.take(self.distances),
            node_counts.to(self.node_counts.device),
            node_counts.tolist(),
            self.max_distance,
        )

    def _graph_ends(self) -> Int64[Tensor, "graphs_and_one"]:
        """Return the first pair of each graph, and the number of pairs, on the CPU."""
        if "ends" not in self.plans:
            ends = torch.tensor([0, *self.sizes]).cumsum(0)
            self.plans["ends"] = self.indptr[ends.to(self.device)].cpu()
        return self.plans["ends"]

    @property
    def pairs_per_graph(self) -> list[int]:
        """Number of pairs of each graph."""
        return self._graph_ends().diff().tolist()

    @property
    def num_pairs(self) -> int:
        """Number of pairs."""
        return len(self.indices)

    @property
    def longest(self) -> int:
        """A bound on the distances: the cut-off."""
        return self.max_distance

    @property
    def num_distances(self) -> int:
        """Columns that a decay table must have besides that of unreachable pairs."""
        return self.max_distance + 1

    @property
    def device(self) -> torch.device:
        """Device of the pairs."""
        return self.indices.device

    @property
    def nbytes(self) -> int:
        """Bytes of the pairs."""
        return self.indptr.nbytes + self.indices.nbytes + self.distances.nbytes

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return (
            f"SparsePairDistances(graphs={len(self)}, nodes={self.num_nodes}, pairs={self.num_pairs}, "
            f"max_distance={self.max_distance})"
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SparsePairDistances":
        """Return the same pairs on another device."""
        if torch.device(device) == self.device:
            return self
        return self._map(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "SparsePairDistances":
        """Return the same pairs in page-locked memory, for asynchronous copies to a GPU."""
        return self._map(lambda part: part.pin_memory())

    def _map(self, move: Any) -> "SparsePairDistances":
        parts = (self.indptr, self.indices, self.distances, self.node_counts)
        return SparsePairDistances._of(*(move(part) for part in parts), self.sizes, self.max_distance)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "plans": {}}


NearPairs = SparsePairDistances
"""Old name of :class:`SparsePairDistances`."""

Distances: TypeAlias = PairDistances | SparsePairDistances
"""Distances that attention takes: of all pairs, or of those within a cut-off."""
