"""Metadata of a cache: fingerprints, statistics, sizes, and the check against damage and other graphs."""

from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.cache_file import CacheFile
from gradformer_dgl.support.errors import CacheError


class CacheMetadata(CacheFile):
    """Metadata of an open cache; see :class:`~gradformer_dgl.cache.DistanceCache`, which reads values too."""

    def fingerprints(self) -> UInt64[np.ndarray, "graphs"]:
        """Return the hash of each graph's structure, shape ``(graphs,)``."""
        return self._rows(cache_format.FINGERPRINTS, 0, len(self))

    def weight_fingerprints(self) -> UInt64[np.ndarray, "graphs"]:
        """Return the hash of each graph's edge weights, shape ``(graphs,)``, of a weighted cache."""
        if not self.weighted:
            raise CacheError(
                f"{self.path} knows no edge weights: preprocess again with `--extra-distances weighted`"
            )
        return self._rows(cache_format.WEIGHT_FINGERPRINTS, 0, len(self))

    def histogram(self) -> Int64[np.ndarray, "distances"]:
        """Return the number of pairs (i, j) at each finite distance, from 0 to ``longest_distance``."""
        array = self._array(cache_format.HISTOGRAM)
        return self._checked(array, None, 0, array.layout.rows)

    def diameters(self) -> Int64[np.ndarray, "graphs"]:
        """Return the longest finite distance in each graph, shape ``(graphs,)``, by reading all of them."""
        name = cache_format.DISTANCES if self.layout == cache_format.DENSE else cache_format.NEAR_DISTANCES
        offsets = self._offsets(name)
        assert offsets is not None
        longest = np.zeros(len(self), np.int64)
        graphs = np.flatnonzero(np.diff(offsets))
        starts = offsets[graphs]
        first = 0
        for block in self._blocks(name):
            low = int(np.searchsorted(starts, first, side="right")) - 1
            high = int(np.searchsorted(starts, first + len(block), side="left"))
            finite = np.where(block == np.iinfo(self.dtype).max, 0, block)
            found = np.maximum.reduceat(finite, np.maximum(starts[low:high] - first, 0))
            longest[graphs[low:high]] = np.maximum(longest[graphs[low:high]], found)
            first += len(block)
        return longest

    def verify(self, graphs: Any = None) -> None:
        """Check that every byte is as written or, given graphs, that the cache belongs to them.

        Parameters
        ----------
        graphs : GraphStructures, data set or iterable of graphs, optional
            The graphs in their order. Only the fingerprints are read then.

        Raises
        ------
        CacheError
            Naming the array and graphs whose checksum differs, or the first graph that is another.
        """
        if graphs is None:
            self._verify_checksums()
            return
        from gradformer_dgl.graphs.fingerprints import structure_fingerprints, weight_fingerprints
        from gradformer_dgl.graphs.structures import as_structures

        structures = as_structures(graphs)
        if len(structures) != len(self):
            raise CacheError(
                f"{self.path} holds {len(self)} graphs, the data set {len(structures)}: "
                "preprocess this data set"
            )
        different = structure_fingerprints(structures, self.directed) != self.fingerprints()
        if different.any():
            graph = int(different.argmax())
            raise CacheError(
                f"{self.path} belongs to other data: graph {graph} differs "
                f"({self.node_counts[graph]} nodes in the cache, {structures.node_counts[graph]} in the data "
                "set); preprocess this data set"
            )
        if self.weighted and structures.weights is not None:
            different = weight_fingerprints(structures, self.directed) != self.weight_fingerprints()
            if different.any():
                raise CacheError(
                    f"{self.path} belongs to other data: the edge weights of graph {int(different.argmax())} "
                    "differ; preprocess this data set"
                )

    def info(self, diameters: bool = False) -> dict[str, Any]:
        """Return what is in the cache: sizes, types, options and statistics of the distances.

        Parameters
        ----------
        diameters : bool
            Read all distances, and tell of the longest one in each graph too.

        Returns
        -------
        dict
            ``path``, ``created_by``, ``format``, ``graphs``, ``nodes``, ``pairs``, ``bytes``,
            ``bytes_per_pair``, ``dtype``, ``directed``, ``max_distance``, ``encodings`` (name to columns),
            ``longest_distance``, ``histogram`` (pairs at each finite distance), ``unreachable`` (fraction of
            pairs without a path, or beyond the cut-off), ``layout``, ``near_pairs`` (stored pairs of a sparse
            layout, else None), ``extra_distances`` (names), ``weighted``, ``arrays`` (name to ``bytes`` in
            memory and ``stored`` bytes in the file), ``compression`` (how many times smaller the file is
            than the arrays), ``graph_sizes`` (``min``, ``median``, ``max`` of the nodes of a graph),
            ``diameters`` (the same of the longest finite distances, if asked for).
        """
        pairs = int(self._pairs[-1])
        histogram = self.histogram()
        arrays = {}
        for name in self._kinds:
            array = self._array(name)
            size = array.layout.rows * array.layout.row_bytes
            arrays[name] = {"bytes": size, "stored": array.stored_bytes}
        return {
            "path": str(self.path),
            "created_by": self._attributes.get("created-by", "unknown"),
            "format": int(self._attributes["encoding-version"]),
            "graphs": len(self),
            "nodes": int(self._nodes[-1]),
            "pairs": pairs,
            "bytes": self._file_bytes,
            "bytes_per_pair": self._file_bytes / pairs if pairs else 0.0,
            "dtype": self.dtype.name,
            "directed": self.directed,
            "max_distance": self.max_distance,
            "encodings": {
                name: self._array(cache_format.encoding_array(name)).layout.shape[1]
                for name in self.encodings
            },
            "longest_distance": self.longest_distance,
            "histogram": histogram.tolist(),
            "unreachable": 1 - int(histogram.sum()) / pairs if pairs else 0.0,
            "layout": self.layout,
            "near_pairs": int(histogram.sum()) if self.layout == cache_format.SPARSE else None,
            "extra_distances": list(self.extra_distances),
            "weighted": self.weighted,
            "arrays": arrays,
            "compression": sum(array["bytes"] for array in arrays.values()) / self._file_bytes,
            "graph_sizes": _summary(self.node_counts),
            **({"diameters": _summary(self.diameters())} if diameters else {}),
        }


def _summary(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {"min": 0, "median": 0, "max": 0}
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}
