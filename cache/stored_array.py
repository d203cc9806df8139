"""One array of a cache file, every byte of it checked as it is read."""

from typing import Any

import h5py
import numpy as np

from gradformer_dgl.cache.chunks import ChecksumError, decode_chunk
from gradformer_dgl.cache.format import ArrayLayout

# Deflate cannot make data more than 1,032 times smaller: a header that promises more lies.
MOST_EXPANSION = 1100
MOST_CHUNK_BYTES = 1 << 28
_FILTERS = {False: [h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32]}
_FILTERS[True] = [h5py.h5z.FILTER_SHUFFLE, *_FILTERS[False]]

# What h5py and HDF5 raise on a broken file.
LOW_LEVEL_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


class BrokenRowsError(Exception):
    """Rows of an array cannot be read, or are not what was written."""

    def __init__(self, start: int, stop: int, reason: str) -> None:
        super().__init__(reason)
        self.start = start
        self.stop = stop


class StoredArray:
    """Rows of one data set.

    Parameters
    ----------
    dataset : h5py.Dataset
        The data set, in a file open for reading.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.layout = ArrayLayout(dataset.name.lstrip("/"), dataset.dtype, dataset.shape)
        self._last: tuple[int, np.ndarray] | None = None
        # Written by this package: decoded here, faster than by HDF5. Anything else (a repacked file) by HDF5.
        self._direct = (
            dataset.chunks == self.layout.chunk_shape and self._filters() == _FILTERS[self.layout.shuffled]
        )
        self._chunk_rows = dataset.chunks[0] if dataset.chunks else max(1, self.layout.rows)

    def _filters(self) -> list[int]:
        properties = self._dataset.id.get_create_plist()
        return [properties.get_filter(place)[0] for place in range(properties.get_nfilters())]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows ``start .. stop``.

        Raises
        ------
        BrokenRowsError
            Where they cannot be read, with the range of rows concerned.
        """
        if stop <= start:
            return np.empty((0, *self.layout.shape[1:]), self.layout.dtype)
        first, last = start // self._chunk_rows, (stop - 1) // self._chunk_rows
        if first == last:
            begin = first * self._chunk_rows
            return self._chunk(first)[start - begin : stop - begin].copy()
        rows = np.empty((stop - start, *self.layout.shape[1:]), self.layout.dtype)
        for index in range(first, last + 1):
            begin = index * self._chunk_rows
            low, high = max(start, begin), min(stop, begin + self._chunk_rows)
            rows[low - start : high - start] = self._chunk(index)[low - begin : high - begin]
        return rows

    def check(self) -> None:
        """Read everything, keep nothing; raise as `read` does."""
        for index in range(-(-self.layout.rows // self._chunk_rows) if not self.layout.empty else 0):
            self._chunk(index)

    def _chunk(self, index: int) -> np.ndarray:
        # Graphs are read one after the other, and many share a chunk.
        last = self._last
        if last is not None and last[0] == index:
            return last[1]
        begin = index * self._chunk_rows
        end = min(begin + self._chunk_rows, self.layout.rows)
        try:
            if self._direct:
                offset = (begin,) + (0,) * (len(self.layout.shape) - 1)
                skipped, data = self._dataset.id.read_direct_chunk(offset)
                if skipped:
                    raise ChecksumError("filters were left out")
                chunk = decode_chunk(self.layout, data)
            else:
                chunk = self._dataset[begin:end]
        except (*LOW_LEVEL_ERRORS, ChecksumError) as error:
            raise BrokenRowsError(begin, end, " ".join(str(error).split())) from error
        self._last = (index, chunk)
        return chunk


def open_array(
    file: h5py.File, name: str, kinds: tuple[Any, ...], dimensions: int, file_bytes: int
) -> StoredArray:
    """Return an array after a look at its header, before any memory is taken for it.

    Parameters
    ----------
    file : h5py.File
        The cache, open for reading.
    name : str
        Path of the data set.
    kinds : tuple of numpy types
        What its entries may be.
    dimensions : int
        How many axes it must have.
    file_bytes : int
        Size of the file.

    Returns
    -------
    StoredArray
        The array.

    Raises
    ------
    ValueError
        Where it is missing or cannot be what a cache holds, with the reason.
    """
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"has no array {name}")
    if dataset.dtype not in [np.dtype(kind) for kind in kinds] or len(dataset.shape) != dimensions:
        raise ValueError(f"has {name} of type {dataset.dtype} and shape {dataset.shape}")
    size = dataset.size * dataset.dtype.itemsize
    chunk = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize if dataset.chunks else 0
    if size > MOST_EXPANSION * file_bytes or chunk > MOST_CHUNK_BYTES:
        raise ValueError(f"promises {size:,} bytes of {name} in a file of {file_bytes:,}")
    return StoredArray(dataset)
