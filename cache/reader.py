"""Reader of a cache, `DistanceCache`: one graph, a range of graphs, or all of them."""

import operator
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.cache_file import ForeignFileError
from gradformer_dgl.cache.metadata import CacheMetadata
from gradformer_dgl.cache.neighborhood import Neighborhood
from gradformer_dgl.support.errors import CacheError
from gradformer_dgl.support.memory import machine_memory

__all__ = ["DistanceCache", "ForeignFileError"]


class DistanceCache(CacheMetadata):
    """Shortest-path distances and node encodings of a data set, read from its HDF5 file.

    Opening checks the header and reads the node counts; the rest is read on demand, checksums verified.
    Every process opens the file for itself: a cache may be pickled, sent to spawned workers and used after a
    fork. Reading raises `CacheError` where a checksum differs, where the cache does not hold what is asked
    for, or where it does not fit into memory, and `IndexError` where there is no such graph or node.

    Parameters
    ----------
    path : path-like
        The file that `gradformer_dgl.preprocess.preprocess_graphs` or ``gradformer-dgl preprocess`` wrote.

    Raises
    ------
    CacheError
        Where the file is missing, no HDF5 file, some other HDF5 file, broken, or of a newer version of the
        format.

    Examples
    --------
    >>> import tempfile
    >>> from gradformer_dgl.preprocess import preprocess_graphs
    >>> folder = tempfile.TemporaryDirectory()
    >>> cache = preprocess_graphs([([0, 1], [1, 2], 3)], folder.name + "/paths.h5", encodings=("rwse:2",))
    >>> len(cache), cache.encodings, cache.longest_distance
    (1, ('rwse:2',), 2)
    >>> cache[0]
    array([[0, 1, 2],
           [1, 0, 1],
           [2, 1, 0]], dtype=uint8)
    >>> cache.encoding("rwse:2", 0)
    array([[0. , 0.5],
           [0. , 1. ],
           [0. , 0.5]], dtype=float32)
    >>> folder.cleanup()
    """

    def __repr__(self) -> str:
        return f"DistanceCache({str(self.path)!r}, {len(self)} graphs)"

    def __getitem__(self, index: SupportsIndex) -> Shaped[np.ndarray, "nodes nodes"]:
        """Return the distances of one graph, shape ``(nodes, nodes)``, ``[i, j]`` from i to j."""
        return self._square(cache_format.DISTANCES, index)

    def _square(self, name: str, index: SupportsIndex) -> np.ndarray:
        graph = self._graph(index)
        num_nodes = int(self.node_counts[graph])
        return self._dense_rows(name, graph, 0, num_nodes).reshape(num_nodes, num_nodes)

    def _graph(self, index: SupportsIndex) -> int:
        try:
            graph = operator.index(index)
        except TypeError:
            raise IndexError(
                f"a cache gives one graph at a time, cache[3], or a range with read(3, 9), not {index!r}"
            ) from None
        if not -len(self) <= graph < len(self):
            raise IndexError(f"graph {graph} of a cache of {len(self)} graphs")
        return graph % len(self)

    def rows(
        self, index: SupportsIndex, start: int = 0, stop: int | None = None
    ) -> Shaped[np.ndarray, "rows nodes"]:
        """Return some rows of the distances of one graph, for graphs too large for one matrix.

        Parameters
        ----------
        index : int
            The graph.
        start, stop : int
            The first node, and the one after the last (default: all).

        Returns
        -------
        numpy.ndarray
            Shape ``(stop - start, nodes)``, as `read` gives them.
        """
        graph = self._graph(index)
        start, stop = self._row_range(graph, start, stop)
        rows = self._dense_rows(cache_format.DISTANCES, graph, start, stop)
        return rows.reshape(stop - start, int(self.node_counts[graph]))

    def _row_range(self, graph: int, start: int, stop: int | None) -> tuple[int, int]:
        num_nodes = int(self.node_counts[graph])
        stop = num_nodes if stop is None else stop
        if not 0 <= start <= stop <= num_nodes:
            raise IndexError(f"rows {start} to {stop} of a graph of {num_nodes} nodes")
        return start, stop

    def _dense_rows(self, name: str, graph: int, start: int, stop: int) -> np.ndarray:
        self._require_dense()
        num_nodes = int(self.node_counts[graph])
        array, first = self._array(name), int(self._pairs[graph])
        self._require_memory(
            (stop - start) * num_nodes * array.layout.row_bytes,
            f"rows {start} to {stop} of {name} of graph {graph} ({num_nodes:,} nodes)",
            f"read fewer rows at a time with rows({graph}, start, stop)",
        )
        return self._checked(array, self._pairs, first + start * num_nodes, first + stop * num_nodes)

    def _require_dense(self) -> None:
        if self.layout == cache_format.SPARSE:
            raise CacheError(
                f"{self.path} is sparse, pairs farther apart than {self.max_distance} are not in it: "
                "use neighborhood(index), or preprocess with the dense layout"
            )

    def _require_memory(self, num_bytes: int, what: str, instead: str) -> None:
        memory = machine_memory()
        if num_bytes > memory:
            raise CacheError(
                f"{self.path}: {what} take {num_bytes / 2**30:,.1f} GiB, this machine has "
                f"{memory / 2**30:,.1f} GiB of memory: {instead}"
            )

    def read(self, start: int = 0, stop: int | None = None) -> Shaped[np.ndarray, "pairs"]:
        """Return the distances of the graphs ``start .. stop``, one row-major matrix after the other.

        Parameters
        ----------
        start, stop : int
            The first graph, and the one after the last (default: all).

        Returns
        -------
        numpy.ndarray
            Shape ``(pairs,)``, uint8 or uint16, the largest value of the type where there is no path.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"graphs {start} to {stop} of a cache of {len(self)} graphs")
        self._require_dense()
        self._require_memory(
            int(self._pairs[stop] - self._pairs[start]) * self.dtype.itemsize,
            f"the distances of graphs {start} to {stop}",
            "read fewer graphs at a time",
        )
        return self._rows(cache_format.DISTANCES, start, stop)

    def neighborhood(self, index: SupportsIndex, start: int = 0, stop: int | None = None) -> Neighborhood:
        """Return the reachable pairs of one graph, or of some rows of it, in either layout.

        Parameters
        ----------
        index : int
            The graph.
        start, stop : int
            The first node, and the one after the last (default: all). Only their rows are read.

        Returns
        -------
        Neighborhood
            For each of these nodes those within reach (and within ``max_distance``) and their distances.

        Examples
        --------
        >>> import tempfile
        >>> from gradformer_dgl.preprocess import preprocess_graphs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = preprocess_graphs([([0, 1, 2], [1, 2, 3], 4)], folder + "/path.h5", max_distance=1)
        ...     near = path.neighborhood(0, 0, 2)
        >>> near.indptr, near.indices, near.distances
        (array([0, 2, 5]), array([0, 1, 0, 1, 2], dtype=int32), array([0, 1, 1, 0, 1], dtype=uint8))
        """
        graph = self._graph(index)
        start, stop = self._row_range(graph, start, stop)
        if self.layout == cache_format.DENSE:
            return Neighborhood.from_rows(self.rows(graph, start, stop))
        indptr = self._indptr(graph)[start : stop + 1]
        first, last = (int(self._sparse_offsets()[graph] + end) for end in (indptr[0], indptr[-1]))
        nodes, distances = (
            self._checked(self._array(name), self._sparse_offsets(), first, last)
            for name in (cache_format.NEAR_NODES, cache_format.NEAR_DISTANCES)
        )
        num_nodes = int(self.node_counts[graph])
        if len(nodes) and not 0 <= nodes.min() <= nodes.max() < num_nodes:
            raise self._wrong(cache_format.NEAR_NODES, graph, f"an id is beyond its {num_nodes} nodes")
        return Neighborhood(indptr - indptr[0], nodes, distances, num_nodes)

    def _indptr(self, graph: int) -> np.ndarray:
        """Return where the sparse pairs of each row of a graph begin, counted from those of its first."""
        # Read once for all the ranges of rows of a large graph.
        last = self._last_indptr
        if last is not None and last[0] == graph:
            return last[1]
        counts = self._rows(cache_format.NEAR_COUNTS, graph, graph + 1)
        num_nodes = len(counts)
        if num_nodes and not 0 <= counts.min() <= counts.max() <= num_nodes:
            raise self._wrong(
                cache_format.NEAR_COUNTS, graph, f"a count does not fit a graph of {num_nodes} nodes"
            )
        indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._last_indptr = graph, indptr
        return indptr

    def as_graphormer_bias(self, index: SupportsIndex) -> Int64[np.ndarray, "nodes nodes"]:
        """Return the distances of one graph as `dgl.nn.SpatialEncoder` takes them: -1 where there is no path.

        For a batch, pad the matrices with -1 to one size, as `gradformer_dgl.PairDistances.pad` does for
        graphs that are together already. Graphormer's other input, the degrees for `dgl.nn.DegreeEncoder`, is
        the encoding ``degree:2``.

        Parameters
        ----------
        index : int
            The graph.

        Returns
        -------
        numpy.ndarray
            Shape ``(nodes, nodes)``, int64.

        Examples
        --------
        >>> import tempfile
        >>> from gradformer_dgl.preprocess import preprocess_graphs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     preprocess_graphs([([0], [1], 3)], folder + "/one.h5", n_jobs=1).as_graphormer_bias(0)
        array([[ 0,  1, -1],
               [ 1,  0, -1],
               [-1, -1,  0]])
        """
        distances = self[index]
        return np.where(distances == np.iinfo(self.dtype).max, -1, distances.astype(np.int64))

    def extra_distance(self, name: str, index: SupportsIndex) -> Float32[np.ndarray, "nodes nodes"]:
        """Return another distance between all nodes of one graph, such as ``"resistance"``.

        Of shape ``(nodes, nodes)``, ``[i, j]`` from i to j, inf where there is no path.
        """
        return self._square(self._extra_array(name), index)

    def read_extra_distances(self, name: str) -> Float32[np.ndarray, "pairs"]:
        """Return another distance of all graphs, one row-major matrix after the other.

        Of shape ``(pairs,)``, inf where there is no path.
        """
        array = self._extra_array(name)
        self._require_memory(4 * int(self._pairs[-1]), f"all {name} distances", "read graph by graph")
        return self._rows(array, 0, len(self))

    def _extra_array(self, name: str) -> str:
        if name not in self.extra_distances:
            raise CacheError(
                f"{self.path} has no distances {name} (it has {', '.join(self.extra_distances) or 'none'} "
                f"beside shortest paths): preprocess again with `--extra-distances {name}`"
            )
        return cache_format.extra_distances_array(name)

    def encoding(
        self, name: str, index: SupportsIndex | None = None
    ) -> Float32[np.ndarray, "nodes channels"]:
        """Return a node encoding, of one graph or of all.

        Parameters
        ----------
        name : str
            One of ``encodings``, as ``"rwse:20"``; or the part before the last colon where it is enough.
        index : int, optional
            The graph; by default the nodes of all graphs, one graph after the other.

        Returns
        -------
        numpy.ndarray
            Shape ``(nodes, k)``, float32.
        """
        found = [known for known in self.encodings if name in (known, known.rpartition(":")[0])]
        if len(found) != 1:
            there = ", ".join(found or self.encodings) or "none"
            advice = "say which" if found else f"preprocess again with `--encodings {name}`"
            raise CacheError(f"{self.path} has no encoding {name} (it has {there}): {advice}")
        start, stop = (0, len(self)) if index is None else (self._graph(index), self._graph(index) + 1)
        return self._rows(cache_format.encoding_array(found[0]), start, stop)
