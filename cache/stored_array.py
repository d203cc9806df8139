"""Array of a cache file, every byte of it checked as it is read."""

import functools
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from gradformer_dgl.cache.chunks import ChecksumError, chunk_hash, decode_chunk
from gradformer_dgl.cache.format import ArrayLayout
from gradformer_dgl.support.errors import one_line

# Deflate cannot make data more than 1,032 times smaller: a header that promises more lies.
MOST_EXPANSION = 1100
MOST_CHUNK_BYTES = 1 << 28
# Decoded chunks of one array that are kept for the next reads.
KEPT_BYTES = 8 << 20
_FILTERS = {False: [h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32]}
_FILTERS[True] = [h5py.h5z.FILTER_SHUFFLE, *_FILTERS[False]]

# What h5py and HDF5 raise on a broken file.
LOW_LEVEL_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class BrokenRowsError(Exception):
    """Rows of an array cannot be read, or are not what was written."""

    def __init__(self, start: int, stop: int, reason: str) -> None:
        super().__init__(reason)
        self.start = start
        self.stop = stop


class StoredArray:
    """Rows of one data set, in a file open for reading; ``hashes`` are those of its chunks."""

    def __init__(self, dataset: h5py.Dataset, hashes: np.ndarray | None = None) -> None:
        self.layout = ArrayLayout(dataset.name.lstrip("/"), dataset.dtype, dataset.shape)
        # Written by this package: decoded here, faster than by HDF5. Anything else (a repacked file) by HDF5.
        as_written = dataset.chunks == self.layout.chunk_shape
        direct = as_written and _filters(dataset) == _FILTERS[self.layout.shuffled]
        self._decode = functools.partial(_chunk_rows, dataset, self.layout, direct, hashes)
        # Graphs are asked for one by one, and many share a chunk.
        chunk_bytes = self.layout.chunk_rows * self.layout.row_bytes
        self._kept = functools.lru_cache(max(1, KEPT_BYTES // max(1, chunk_bytes)))(self._decode)

    @property
    def stored_bytes(self) -> int:
        """Bytes that its chunks take in the file."""
        return int(self._decode.args[0].id.get_storage_size())

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows ``start .. stop``, or raise `BrokenRowsError` with the range of rows concerned."""
        if stop <= start:
            return np.empty((0, *self.layout.shape[1:]), self.layout.dtype)
        size = self.layout.chunk_rows
        first, last = start // size, (stop - 1) // size
        if first == last:
            return self._kept(first)[start - first * size : stop - first * size].copy()
        rows = np.empty((stop - start, *self.layout.shape[1:]), self.layout.dtype)
        for index in range(first, last + 1):
            begin = index * size
            low, high = max(start, begin), min(stop, begin + size)
            # Whoever wanted all of a chunk does not come back for the rest of it.
            chunk = self._decode(index) if high - low == size else self._kept(index)
            rows[low - start : high - start] = chunk[low - begin : high - begin]
        return rows

    def blocks(self) -> Iterator[np.ndarray]:
        """Read everything from the file, a chunk at a time; raise as `read` does."""
        size = self.layout.chunk_rows
        for index in range(self.layout.num_chunks):
            yield self._decode(index)[: self.layout.rows - index * size]


def _filters(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(place)[0] for place in range(properties.get_nfilters())]


def _chunk_rows(
    dataset: h5py.Dataset, layout: ArrayLayout, direct: bool, hashes: np.ndarray | None, index: int
) -> np.ndarray:
    begin = index * layout.chunk_rows
    try:
        if direct:
            skipped, data = dataset.id.read_direct_chunk((begin,) + (0,) * (len(layout.shape) - 1))
            if skipped:
                raise ChecksumError("filters were left out")
            rows = decode_chunk(layout, data)
        else:
            rows = dataset[begin : begin + layout.chunk_rows]
        if hashes is not None and chunk_hash(rows[: layout.rows - begin]) != hashes[index]:
            raise ChecksumError("other values than were written")
        return rows
    except LOW_LEVEL_ERRORS as error:
        end = min(begin + layout.chunk_rows, layout.rows)
        raise BrokenRowsError(begin, end, one_line(error)) from error


def open_array(
    file: h5py.File,
    name: str,
    kind: Any,
    dimensions: int,
    file_bytes: int,
    hashes: np.ndarray | None = None,
) -> StoredArray:
    """Return an array after a look at its header, before any memory is taken for it.

    ``kind`` is the type of its entries. What a cache cannot hold raises `ValueError`.
    """
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"has no array {name}")
    if dataset.dtype != np.dtype(kind) or len(dataset.shape) != dimensions:
        raise ValueError(f"has {name} of type {dataset.dtype} and shape {dataset.shape}")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"has {name} in another file")
    size = dataset.size * dataset.dtype.itemsize
    chunk = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize if dataset.chunks else 0
    if size > MOST_EXPANSION * file_bytes or chunk > MOST_CHUNK_BYTES:
        raise ValueError(f"promises {size:,} bytes of {name} in a file of {file_bytes:,}")
    return StoredArray(dataset, hashes)
