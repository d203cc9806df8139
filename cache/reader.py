"""Reading a cache: one graph, a range of graphs, or all of them."""

import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsIndex

import h5py
import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt64

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.stored_array import LOW_LEVEL_ERRORS, BrokenRowsError, StoredArray, open_array
from gradformer_dgl.errors import CacheError

_MEND = "preprocess again to replace it"
_MOST_PAIRS = 2.0**62

# Handles that a forked process inherited. Closing one there would release the parent's file lock.
_inherited: list[Any] = []


class ForeignFileError(CacheError):
    """A file that this version must not replace: something else, or a cache of a newer version."""


class DistanceCache:
    """Shortest-path distances and node encodings of a data set, read from its HDF5 file.

    Opening checks the header and reads the node counts; the rest is read on demand, checksums verified.
    Every process opens the file for itself: a cache may be pickled, sent to spawned workers and used after a
    fork.

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

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._pid = -1
        self._file: Any = None
        self._open()
        try:
            self._read_header()
        except BrokenRowsError as error:
            raise CacheError(f"{self.path} is broken ({error}): {_MEND}") from error
        except LOW_LEVEL_ERRORS as error:
            raise CacheError(f"{self.path} is broken ({_line(error)}): {_MEND}") from error

    def _open(self) -> None:
        if not self.path.is_file():
            what = "is a folder, not a cache" if self.path.is_dir() else "does not exist"
            raise CacheError(f"cache {self.path} {what}: run `gradformer-dgl preprocess` to make one")
        try:
            if not h5py.is_hdf5(self.path):
                raise ForeignFileError(
                    f"{self.path} is no HDF5 file, so no cache of distances: "
                    "choose another path, or remove it"
                )
            self._file = h5py.File(self.path, "r", locking="best-effort")
            self._file_bytes = self.path.stat().st_size
            self._attributes = {name: _plain(value) for name, value in self._file.attrs.items()}
        except LOW_LEVEL_ERRORS as error:
            if isinstance(error, PermissionError):
                raise CacheError(f"{self.path} cannot be read: no permission") from error
            raise CacheError(f"{self.path} is truncated or broken ({_line(error)}): {_MEND}") from error
        self._arrays: dict[str, StoredArray] = {}
        self._pid = os.getpid()
        try:
            self._check_attributes(self._attributes)
        except LOW_LEVEL_ERRORS as error:
            raise CacheError(f"{self.path} is broken ({_line(error)}): {_MEND}") from error

    def _check_attributes(self, attributes: Mapping[str, Any]) -> None:
        if attributes.get("encoding-type") != cache_format.TYPE:
            raise ForeignFileError(
                f"{self.path} is an HDF5 file, but no cache of distances: choose another path, or remove it"
            )
        version = int(attributes.get("encoding-version", 0))
        if version > cache_format.VERSION:
            raise ForeignFileError(
                f"{self.path} was written by a newer version ({attributes.get('created-by', 'unknown')}, "
                f"format {version}; this one reads up to {cache_format.VERSION}): upgrade gradformer-dgl"
            )
        if attributes[cache_format.ATTRIBUTES_CHECKSUM] != cache_format.attributes_checksum(attributes):
            raise ValueError("the checksum of its attributes differs")

    def _read_header(self) -> None:
        attributes = self._attributes
        dtypes = {np.iinfo(kind).max: np.dtype(kind) for kind in (np.uint8, np.uint16)}
        self.dtype: np.dtype = dtypes[int(attributes["unreachable"])]
        self.directed = bool(attributes["directed"])
        cutoff = int(attributes["max_distance"])
        self.max_distance: int | None = None if cutoff == cache_format.NO_CUTOFF else cutoff
        self.longest_distance = int(attributes["longest_distance"])

        num_graphs = int(attributes["num_graphs"])
        stored = self._array(cache_format.NODE_COUNTS, (np.int32,), 1)
        if stored.layout.rows != num_graphs:
            raise ValueError(f"it should hold {num_graphs} graphs, but has {stored.layout.rows} node counts")
        counts = stored.read(0, num_graphs).astype(np.int64)
        if num_graphs and counts.min() < 0:
            raise ValueError("a node count is negative")
        if np.square(counts.astype(np.float64)).sum() > _MOST_PAIRS:
            raise ValueError("its node counts are beyond reason")
        self.node_counts: Int64[np.ndarray, graphs] = counts
        self._nodes = np.concatenate([[0], np.cumsum(counts)])
        self._pairs = np.concatenate([[0], np.cumsum(np.square(counts))])

        pairs, nodes = int(self._pairs[-1]), int(self._nodes[-1])
        self._expect(cache_format.DISTANCES, (self.dtype,), 1, pairs)
        self._expect(cache_format.FINGERPRINTS, (np.uint64,), 1, num_graphs)
        self._array(cache_format.HISTOGRAM, (np.int64,), 1)
        group = self._file.get(cache_format.ENCODINGS, {})
        self.encodings: tuple[str, ...] = tuple(sorted(group, key=_natural))
        for name in self.encodings:
            self._expect(f"{cache_format.ENCODINGS}/{name}", (np.float32,), 2, nodes)

    def _expect(self, name: str, kinds: tuple[Any, ...], dimensions: int, rows: int) -> None:
        found = self._array(name, kinds, dimensions).layout.rows
        if found != rows:
            raise ValueError(f"{name} has {found:,} rows where the node counts ask for {rows:,}")

    def _array(self, name: str, kinds: tuple[Any, ...] = (), dimensions: int = 1) -> StoredArray:
        if self._pid != os.getpid():
            self._reopen()
        if name not in self._arrays:
            if not kinds:
                kinds, dimensions = self._kinds[name]
            self._arrays[name] = open_array(self._file, name, kinds, dimensions, self._file_bytes)
        return self._arrays[name]

    @property
    def _kinds(self) -> dict[str, tuple[tuple[Any, ...], int]]:
        encodings = {f"{cache_format.ENCODINGS}/{name}": ((np.float32,), 2) for name in self.encodings}
        return {
            cache_format.NODE_COUNTS: ((np.int32,), 1),
            cache_format.DISTANCES: ((self.dtype,), 1),
            cache_format.FINGERPRINTS: ((np.uint64,), 1),
            cache_format.HISTOGRAM: ((np.int64,), 1),
            **encodings,
        }

    def _reopen(self) -> None:
        _inherited.append((self._file, self._arrays))
        known = self._attributes
        self._open()
        if self._attributes != known:
            raise CacheError(f"{self.path} has been replaced since it was opened: open it again")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_arrays": {}, "_pid": -1}

    def __repr__(self) -> str:
        return f"DistanceCache({str(self.path)!r}, {len(self)} graphs)"

    def __len__(self) -> int:
        return len(self.node_counts)

    def __getitem__(self, index: SupportsIndex) -> Shaped[np.ndarray, "nodes nodes"]:
        """Return the distances of one graph, shape ``(nodes, nodes)``, ``[i, j]`` from i to j."""
        graph = self._graph(index)
        num_nodes = int(self.node_counts[graph])
        return self.read(graph, graph + 1).reshape(num_nodes, num_nodes)

    def _graph(self, index: SupportsIndex) -> int:
        graph = operator.index(index)
        if not -len(self) <= graph < len(self):
            raise IndexError(f"graph {graph} of a cache of {len(self)} graphs")
        return graph % len(self)

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

        Raises
        ------
        CacheError
            Where a checksum differs, naming the array and the graphs concerned.
        IndexError
            Where there are no such graphs.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"graphs {start} to {stop} of a cache of {len(self)} graphs")
        return self._rows(cache_format.DISTANCES, self._pairs, start, stop)

    def encoding(
        self, name: str, index: SupportsIndex | None = None
    ) -> Float32[np.ndarray, "nodes channels"]:
        """Return a node encoding, of one graph or of all.

        Parameters
        ----------
        name : str
            One of ``encodings``, for example ``"rwse:20"``.
        index : int, optional
            The graph; by default the nodes of all graphs, one graph after the other.

        Returns
        -------
        numpy.ndarray
            Shape ``(nodes, k)``, float32.

        Raises
        ------
        CacheError
            Where the cache does not hold it, or a checksum differs.
        """
        if name not in self.encodings:
            raise CacheError(
                f"{self.path} has no encoding {name} (it has {', '.join(self.encodings) or 'none'}): "
                f"preprocess again with `--encodings {name}`"
            )
        start, stop = (0, len(self)) if index is None else (self._graph(index), self._graph(index) + 1)
        return self._rows(f"{cache_format.ENCODINGS}/{name}", self._nodes, start, stop)

    def fingerprints(self) -> UInt64[np.ndarray, "graphs"]:
        """Return the hash of each graph's structure, shape ``(graphs,)``."""
        return self._rows(cache_format.FINGERPRINTS, np.arange(len(self) + 1), 0, len(self))

    def histogram(self) -> Int64[np.ndarray, "distances"]:
        """Return the number of pairs (i, j) at each finite distance, from 0 to ``longest_distance``."""
        array = self._array(cache_format.HISTOGRAM)
        return self._checked(array, None, 0, array.layout.rows)

    def _rows(self, name: str, offsets: np.ndarray, start: int, stop: int) -> np.ndarray:
        return self._checked(self._array(name), offsets, int(offsets[start]), int(offsets[stop]))

    def _checked(self, array: StoredArray, offsets: np.ndarray | None, first: int, last: int) -> np.ndarray:
        try:
            return array.read(first, last)
        except BrokenRowsError as error:
            raise self._broken(array, offsets, error) from error

    def _broken(self, array: StoredArray, offsets: np.ndarray | None, error: BrokenRowsError) -> CacheError:
        place = ""
        if offsets is not None:
            low = int(np.searchsorted(offsets, error.start, side="right")) - 1
            high = int(np.searchsorted(offsets, error.stop, side="left")) - 1
            place = f" of graphs {low} to {high}"
        return CacheError(f"{self.path} is broken: {array.layout.name}{place}: {_line(error)}; {_MEND}")

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
        from gradformer_dgl.preprocess.shortest_paths import structure_fingerprints
        from gradformer_dgl.preprocess.structures import as_structures

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

    def _verify_checksums(self) -> None:
        encodings = [f"{cache_format.ENCODINGS}/{name}" for name in self.encodings]
        graphs = np.arange(len(self) + 1)
        for name, offsets in [
            (cache_format.NODE_COUNTS, graphs),
            (cache_format.FINGERPRINTS, graphs),
            (cache_format.HISTOGRAM, None),
            (cache_format.DISTANCES, self._pairs),
            *((name, self._nodes) for name in encodings),
        ]:
            array = self._array(name)
            try:
                array.check()
            except BrokenRowsError as error:
                raise self._broken(array, offsets, error) from error

    def info(self) -> dict[str, Any]:
        """Return what is in the cache: sizes, types, options and statistics of the distances.

        Returns
        -------
        dict
            ``path``, ``created_by``, ``format``, ``graphs``, ``nodes``, ``pairs``, ``bytes``,
            ``bytes_per_pair``, ``dtype``, ``directed``, ``max_distance``, ``encodings`` (name to columns),
            ``longest_distance``, ``histogram`` (pairs at each finite distance), ``unreachable`` (share of
            pairs).
        """
        pairs = int(self._pairs[-1])
        histogram = self.histogram()
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
                name: self._array(f"{cache_format.ENCODINGS}/{name}").layout.shape[1]
                for name in self.encodings
            },
            "longest_distance": self.longest_distance,
            "histogram": histogram.tolist(),
            "unreachable": 1 - int(histogram.sum()) / pairs if pairs else 0.0,
        }


def _plain(value: Any) -> Any:
    """An attribute as a Python string or integer, however HDF5 stores it."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else int(value)


def _natural(name: str) -> tuple[str, int]:
    kind, _, size = name.partition(":")
    return kind, int(size) if size.isdigit() else 0


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
