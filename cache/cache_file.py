"""HDF5 file of a cache: its header, and its arrays as they are asked for."""

import errno
import os
import re
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
_CHUNK_CACHE_BYTES = 32 << 20

# Handles that a forked process inherited. Closing one there would release the parent's file lock.
_inherited: list[Any] = []
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What the system says of places that a broken file names; other numbers are about the system itself.
_OF_BROKEN_FILES = (0, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG)


class ForeignFileError(CacheError):
    """A file that this version must not replace: something else, or a cache of a newer version."""


class BrokenCacheError(CacheError):
    """A cache whose checksums or structure are wrong, which alone justifies replacing it."""


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
            raise self._failed(error) from error

    def _open(self) -> None:
        if not self.path.is_file():
            what = "is a folder, not a cache" if self.path.is_dir() else "does not exist"
            raise CacheError(f"cache {self.path} {what}: run `gradformer-dgl preprocess` to make one")
        try:
            if not _is_hdf5(self.path):
                raise ForeignFileError(
                    f"{self.path} is no HDF5 file, so no cache of distances: "
                    "choose another path, or remove it"
                )
            check_string_heap(self.path)
            self._file = _opened(self.path)
            self._file_bytes = self.path.stat().st_size
            self._attributes = {
                name: cache_format.plain_attribute(value) for name, value in self._file.attrs.items()
            }
        except LOW_LEVEL_ERRORS as error:
            raise self._failed(error, "truncated or broken") from error
        self._arrays: dict[str, StoredArray] = {}
        self._pid = os.getpid()
        try:
            self._check_attributes(self._attributes)
        except LOW_LEVEL_ERRORS as error:
            raise self._failed(error) from error

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
        self._sparse_starts: np.ndarray | None = None
        self._last_indptr: tuple[int, np.ndarray] | None = None
        self._hashes: dict[str, np.ndarray] = {}
        self._kinds = self._contents()
        stored = self._array(cache_format.NODE_COUNTS)
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
        self._check_rows(num_graphs, int(self._nodes[-1]), int(self._pairs[-1]))
        self._hashes = self._read_hashes()
        self._arrays.clear()
        # Read once more, now that the hashes are known.
        for _ in self._blocks(cache_format.NODE_COUNTS):
            pass

    def _contents(self) -> dict[str, tuple[Any, int]]:
        """Return the arrays that the file has to hold by name: the type of entries, and how many axes."""
        # By its name alone: a group that is there but broken is an error, not a group that is absent.
        there = set(self._file)
        group = self._file[cache_format.ENCODINGS] if cache_format.ENCODINGS in there else ()
        self.encodings: tuple[str, ...] = tuple(sorted(group, key=_natural))
        names = str(self._attributes.get("extra-distances", ""))
        self.extra_distances: tuple[str, ...] = tuple(filter(None, names.split(",")))
        self.weighted = cache_format.WEIGHT_FINGERPRINTS in there
        found: dict[str, tuple[Any, int]] = {
            cache_format.NODE_COUNTS: (np.int32, 1),
            cache_format.FINGERPRINTS: (np.uint64, 1),
            cache_format.HISTOGRAM: (np.int64, 1),
        }
        if self.layout == cache_format.SPARSE:
            found[cache_format.NEAR_COUNTS] = found[cache_format.NEAR_NODES] = (np.int32, 1)
            found[cache_format.NEAR_DISTANCES] = (self.dtype, 1)
        else:
            found[cache_format.DISTANCES] = (self.dtype, 1)
        found |= {cache_format.encoding_array(name): (np.float32, 2) for name in self.encodings}
        found |= {cache_format.extra_distances_array(name): (np.float32, 1) for name in self.extra_distances}
        if self.weighted:
            found[cache_format.WEIGHT_FINGERPRINTS] = (np.uint64, 1)
        return found

    def _read_hashes(self) -> dict[str, np.ndarray]:
        """Return the hashes of each array's chunks by its name; nothing for a file of an older version."""
        expected = self._attributes.get(cache_format.CONTENTS_HASH)
        if expected is None:
            if int(self._attributes["encoding-version"]) > 1 and self.layout == cache_format.DENSE:
                raise ValueError(f"it has no {cache_format.CONTENTS_HASH}")
            return {}
        names = sorted(self._kinds)
        layouts = [self._array(name).layout for name in names]
        stored = self._file[cache_format.CHUNK_HASHES]
        ends = np.cumsum([layout.num_chunks for layout in layouts])
        if (stored.dtype, stored.shape) != (np.dtype(np.uint64), (ends[-1],)):
            raise ValueError(
                f"has {cache_format.CHUNK_HASHES} of type {stored.dtype} and shape {stored.shape}"
            )
        hashes = stored[:]
        if cache_format.contents_hash(layouts, hashes) != expected:
            raise ValueError("the hash of its contents differs: it holds other arrays than were written")
        return dict(zip(names, np.split(hashes, ends[:-1]), strict=True))

    def _check_rows(self, graphs: int, nodes: int, pairs: int) -> None:
        """Check that each array is as long as the counts of graphs, nodes and pairs ask for."""
        for name in self._kinds:
            rows = self._array(name).layout.rows
            if name in (cache_format.FINGERPRINTS, cache_format.WEIGHT_FINGERPRINTS):
                right = graphs
            elif name == cache_format.NEAR_COUNTS or name.startswith(cache_format.ENCODINGS):
                right = nodes
            elif name == cache_format.DISTANCES or name.startswith(cache_format.EXTRA_DISTANCES):
                right = pairs
            elif name == cache_format.NEAR_DISTANCES:
                right = self._array(cache_format.NEAR_NODES).layout.rows
                if right > pairs:
                    raise ValueError(f"near_nodes has {right:,} rows, the graphs have {pairs:,} pairs")
            else:
                continue
            if rows != right:
                raise ValueError(f"{name} has {rows:,} rows where the counts ask for {right:,}")

    def _array(self, name: str) -> StoredArray:
        if self._pid != os.getpid():
            self._reopen()
        if name not in self._arrays:
            kind, dimensions = self._kinds[name]
            hashes = self._hashes.get(name)
            try:
                array = open_array(self._file, name, kind, dimensions, self._file_bytes, hashes)
            except LOW_LEVEL_ERRORS as error:
                raise self._failed(error) from error
            self._arrays[name] = array
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
                raise BrokenCacheError(
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

    def _failed(self, error: BaseException, state: str = "broken", place: str = "") -> CacheError:
        """Return the error to raise for one of HDF5 or the system: only the former is the file's fault."""
        reason = _system_reason(error)
        if reason is not None:
            return CacheError(f"{self.path} cannot be read: {reason}")
        if place:
            return BrokenCacheError(f"{self.path} is {state}: {place}: {_line(error)}; {_MEND}")
        return BrokenCacheError(f"{self.path} is {state} ({_line(error)}): {_MEND}")

    def _broken(self, array: StoredArray, offsets: np.ndarray | None, error: BrokenRowsError) -> CacheError:
        place = array.layout.name
        if offsets is not None:
            low = int(np.searchsorted(offsets, error.start, side="right")) - 1
            high = int(np.searchsorted(offsets, error.stop, side="left")) - 1
            place += f" of graphs {low} to {high}"
        return self._failed(error.__cause__ or error, place=place)

    def _wrong(self, name: str, graph: int, reason: str) -> CacheError:
        return BrokenCacheError(f"{self.path} is broken: {name} of graph {graph}: {reason}; {_MEND}")

    def _verify_checksums(self) -> None:
        for name in self._kinds:
            for _ in self._blocks(name):
                pass
        if self.layout == cache_format.SPARSE:
            self._sparse_offsets()


def _natural(name: str) -> tuple[str, int]:
    kind, _, size = name.rpartition(":")
    return kind, int(size) if size.isdecimal() else 0


def _opened(path: Path) -> h5py.File:
    """Open a file for reading; without a lock where the file system has none."""
    # A repacked file may have chunks that are larger than what is read at a time.
    try:
        # As h5py does by default: one process cannot open a file with locks and without.
        return h5py.File(path, "r", locking="best-effort", rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES)


def _is_hdf5(path: Path) -> bool:
    """Return whether a file is one of HDF5, which may begin at 512 bytes or a power of two times that."""
    with path.open("rb") as file:
        size, place = os.fstat(file.fileno()).st_size, 0
        while place < size:
            if os.pread(file.fileno(), len(_SIGNATURE), place) == _SIGNATURE:
                return True
            place = max(512, 2 * place)
    return False


def _system_reason(error: BaseException) -> str | None:
    """Return the system's reason for an error, None where the file itself is at fault."""
    number = getattr(error, "errno", None)
    if number is None:
        named = re.search(r"errno = (\d+)", str(error))
        number = int(named[1]) if named else 0
    if isinstance(error, MemoryError) or "memory allocation failed" in str(error):
        number = errno.ENOMEM
    if number == errno.EACCES:
        return "no permission"
    return None if number in _OF_BROKEN_FILES else os.strerror(number)


def _line(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
