"""HDF5 file of a cache: its header, and its arrays as they are asked for."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int64

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.hdf5_heap_check import check_string_heap
from gradformer_dgl.cache.stored_array import LOW_LEVEL_ERRORS, BrokenRowsError, StoredArray, open_array
from gradformer_dgl.support.errors import CacheError, one_line

_MEND = "preprocess again to replace it"
_MOST_PAIRS = 2.0**62

# Handles that a forked process inherited. Closing one there would release the parent's file lock.
_inherited: list[Any] = []


class ForeignFileError(CacheError):
    """A file that this version must not replace: something else, or a cache of a newer version."""


class CacheFile:
    """A cache file, open for reading: once in every process, whatever is forked or pickled."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._pid = -1
        self._file: Any = None
        self._open()
        try:
            self._read_header()
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
            check_string_heap(self.path)
            self._file = h5py.File(self.path, "r", locking="best-effort")
            self._file_bytes = self.path.stat().st_size
            self._attributes = {
                name: cache_format.plain_attribute(value) for name, value in self._file.attrs.items()
            }
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
        self.layout = str(attributes.get("layout", cache_format.DENSE))
        if self.layout not in cache_format.LAYOUTS:
            raise ValueError(f"it has an unknown layout, {self.layout}")
        if self.layout == cache_format.SPARSE and self.max_distance is None:
            raise ValueError("it has a sparse layout without a cut-off")

        num_graphs = int(attributes["num_graphs"])
        # What each array may hold, how many axes it has.
        self._kinds: dict[str, tuple[tuple[Any, ...], int]] = {}
        stored = self._expect(cache_format.NODE_COUNTS, np.int32)
        if stored.layout.rows != num_graphs:
            raise ValueError(f"it should hold {num_graphs} graphs, but has {stored.layout.rows} node counts")
        counts = self._checked(stored, np.arange(num_graphs + 1), 0, num_graphs).astype(np.int64)
        if num_graphs and counts.min() < 0:
            raise ValueError("a node count is negative")
        if np.square(counts.astype(np.float64)).sum() > _MOST_PAIRS:
            raise ValueError("its node counts are beyond reason")
        self.node_counts: Int64[np.ndarray, graphs] = counts
        self._nodes = np.concatenate([[0], np.cumsum(counts)])
        self._pairs = np.concatenate([[0], np.cumsum(np.square(counts))])
        self._read_contents(num_graphs, int(self._nodes[-1]), int(self._pairs[-1]))

    def _read_contents(self, graphs: int, nodes: int, pairs: int) -> None:
        self._expect(cache_format.FINGERPRINTS, np.uint64, graphs)
        self._expect(cache_format.HISTOGRAM, np.int64)
        self._sparse_starts: np.ndarray | None = None
        self._last_indptr: tuple[int, np.ndarray] | None = None
        if self.layout == cache_format.SPARSE:
            self._expect(cache_format.NEAR_COUNTS, np.int32, nodes)
            sparse_pairs = self._expect(cache_format.NEAR_NODES, np.int32).layout.rows
            self._expect(cache_format.NEAR_DISTANCES, self.dtype, sparse_pairs)
            if sparse_pairs > pairs:
                raise ValueError(f"near_nodes has {sparse_pairs:,} rows, the graphs have {pairs:,} pairs")
        else:
            self._expect(cache_format.DISTANCES, self.dtype, pairs)
        # By its name alone: a group that is there but broken is an error, not a group that is absent.
        there = set(self._file)
        group = self._file[cache_format.ENCODINGS] if cache_format.ENCODINGS in there else ()
        self.encodings: tuple[str, ...] = tuple(sorted(group, key=_natural))
        for name in self.encodings:
            self._expect(cache_format.encoding_array(name), np.float32, nodes, dimensions=2)
        names = str(self._attributes.get("extra-distances", ""))
        self.extra_distances: tuple[str, ...] = tuple(filter(None, names.split(",")))
        for name in self.extra_distances:
            self._expect(cache_format.extra_distances_array(name), np.float32, pairs)
        self.weighted = cache_format.WEIGHT_FINGERPRINTS in there
        if self.weighted:
            self._expect(cache_format.WEIGHT_FINGERPRINTS, np.uint64, graphs)

    def _expect(self, name: str, kind: Any, rows: int | None = None, dimensions: int = 1) -> StoredArray:
        self._kinds[name] = ((kind,), dimensions)
        array = self._array(name)
        if rows is not None and array.layout.rows != rows:
            raise ValueError(f"{name} has {array.layout.rows:,} rows where the counts ask for {rows:,}")
        return array

    def _array(self, name: str) -> StoredArray:
        if self._pid != os.getpid():
            self._reopen()
        if name not in self._arrays:
            try:
                self._arrays[name] = open_array(self._file, name, *self._kinds[name], self._file_bytes)
            except LOW_LEVEL_ERRORS as error:
                raise CacheError(f"{self.path} is broken ({_line(error)}): {_MEND}") from error
        return self._arrays[name]

    def _reopen(self) -> None:
        _inherited.append((self._file, self._arrays))
        known = self._attributes
        self._open()
        if self._attributes != known:
            raise CacheError(f"{self.path} has been replaced since it was opened: open it again")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_arrays": {}, "_pid": -1, "_last_indptr": None}

    def __len__(self) -> int:
        return len(self.node_counts)

    def _offsets(self, name: str) -> np.ndarray | None:
        """Return where each graph begins in an array, and where the last one ends; None for the histogram."""
        if name == cache_format.HISTOGRAM:
            return None
        if name in (cache_format.NEAR_NODES, cache_format.NEAR_DISTANCES):
            return self._sparse_offsets()
        if name == cache_format.DISTANCES or name.startswith(cache_format.EXTRA_DISTANCES):
            return self._pairs
        if name == cache_format.NEAR_COUNTS or name.startswith(cache_format.ENCODINGS):
            return self._nodes
        return np.arange(len(self) + 1)

    def _sparse_offsets(self) -> np.ndarray:
        """Return where the sparse pairs of each graph begin, and where those of the last one end."""
        if self._sparse_starts is None:
            offsets = np.zeros(len(self) + 1, np.int64)
            last_nodes = self._nodes[1:]
            nodes = pairs = 0
            for counts in self._blocks(cache_format.NEAR_COUNTS):
                sums = np.cumsum(counts, dtype=np.int64)
                low, high = np.searchsorted(last_nodes, [nodes, nodes + len(counts)], side="right")
                offsets[low + 1 : high + 1] = pairs + sums[last_nodes[low:high] - nodes - 1]
                nodes, pairs = nodes + len(counts), pairs + int(sums[-1])
            wrong = (np.diff(offsets) < 0) | (np.diff(offsets) > np.diff(self._pairs))
            if wrong.any():
                raise self._wrong(cache_format.NEAR_COUNTS, int(wrong.argmax()), "they do not fit its nodes")
            found = self._array(cache_format.NEAR_NODES).layout.rows
            if pairs != found:
                raise CacheError(
                    f"{self.path} is broken: near_counts add up to {pairs:,}, near_nodes has {found:,} rows; "
                    f"{_MEND}"
                )
            self._sparse_starts = offsets
        return self._sparse_starts

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        offsets = self._offsets(name)
        assert offsets is not None
        return self._checked(self._array(name), offsets, int(offsets[start]), int(offsets[stop]))

    def _checked(self, array: StoredArray, offsets: np.ndarray | None, first: int, last: int) -> np.ndarray:
        try:
            return array.read(first, last)
        except BrokenRowsError as error:
            raise self._broken(array, offsets, error) from error

    def _blocks(self, name: str) -> Iterator[np.ndarray]:
        array = self._array(name)
        try:
            yield from array.blocks()
        except BrokenRowsError as error:
            raise self._broken(array, self._offsets(name), error) from error

    def _broken(self, array: StoredArray, offsets: np.ndarray | None, error: BrokenRowsError) -> CacheError:
        place = ""
        if offsets is not None:
            low = int(np.searchsorted(offsets, error.start, side="right")) - 1
            high = int(np.searchsorted(offsets, error.stop, side="left")) - 1
            place = f" of graphs {low} to {high}"
        return CacheError(f"{self.path} is broken: {array.layout.name}{place}: {_line(error)}; {_MEND}")

    def _wrong(self, name: str, graph: int, reason: str) -> CacheError:
        return CacheError(f"{self.path} is broken: {name} of graph {graph}: {reason}; {_MEND}")

    def _verify_checksums(self) -> None:
        for name in self._kinds:
            for _ in self._blocks(name):
                pass
        if self.layout == cache_format.SPARSE:
            self._sparse_offsets()


def _natural(name: str) -> tuple[str, int]:
    kind, _, size = name.rpartition(":")
    return kind, int(size) if size.isdecimal() else 0


def _line(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
