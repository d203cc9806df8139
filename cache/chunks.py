"""Chunks of an array as HDF5 stores them: shuffled, deflated, with a Fletcher-32 checksum.

HDF5 runs its filters one at a time under one lock. Done here, chunks are encoded in as many threads as
there are, and several times faster with the ISA-L library where the package ``isal`` is installed. What comes
out is what HDF5's own filters write, so that any HDF5 reader reads it, checksums verified.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from gradformer_dgl.cache.format import ArrayLayout

isal_zlib: Any = None
try:
    from isal import isal_zlib

    ENCODER = "isal"
    _STREAM_ERRORS: Any = (zlib.error, isal_zlib.error)
except ImportError:
    ENCODER = "zlib"
    _STREAM_ERRORS = (zlib.error,)


class ChecksumError(ValueError):
    """A chunk is not what was written."""


def deflate(data: bytes | memoryview, floats: bool = False) -> bytes:
    """Compress to a zlib stream; a higher level would find nothing more in floating-point numbers."""
    if isal_zlib is not None:
        return isal_zlib.compress(data, 1 if floats else 3)
    return zlib.compress(data, 1 if floats else 4)


def inflate(data: bytes | memoryview, size: int) -> bytes:
    """Decompress a zlib stream of ``size`` bytes, or raise `ChecksumError`, without taking much more."""
    stream = (zlib if isal_zlib is None else isal_zlib).decompressobj()
    try:
        raw = stream.decompress(data, size + 1)
    except _STREAM_ERRORS as error:
        raise ChecksumError(str(error)) from None
    if len(raw) != size or not stream.eof:
        raise ChecksumError(f"not {size} bytes once decompressed")
    return raw


def fletcher32(data: bytes | memoryview) -> int:
    """Compute the Fletcher-32 checksum of HDF5: big-endian 16-bit words, sums modulo 65,535."""
    return int(_checksums([data])[0])


def _checksums(parts: Sequence[bytes | memoryview]) -> np.ndarray:
    """Compute checksums of some data, in one call: threads that make many have to wait for each other."""
    from gradformer_dgl.cache.fletcher32_kernel import checksums

    # An odd last byte is followed by one of 0, so that each begins at a whole word.
    padded = [piece for part in parts for piece in (part, b"\0" * (len(part) % 2))]
    words = np.frombuffer(b"".join(padded), "<u2")
    return checksums(words, np.array([(len(part) + 1) // 2 for part in parts], np.int64))


def chunk_hash(rows: np.ndarray) -> int:
    """Return the XXH3 of the rows of a chunk, C-contiguous, padding left out."""
    return xxhash.xxh3_64_intdigest(rows.data)


def encode_chunk(layout: ArrayLayout, rows: np.ndarray) -> bytes:
    """Encode one chunk; fewer rows than a chunk has are padded with zeros, as HDF5 does at the end."""
    if len(rows) < layout.chunk_rows:
        padded = np.zeros(layout.chunk_shape, layout.dtype)
        padded[: len(rows)] = rows
        rows = padded
    return _checksummed([_packed(layout, rows)])[0]


def _packed(layout: ArrayLayout, rows: np.ndarray) -> bytes:
    data = np.ascontiguousarray(rows, dtype=layout.dtype).view(np.uint8).reshape(-1)
    if layout.shuffled:
        data = np.ascontiguousarray(data.reshape(-1, layout.dtype.itemsize).T).reshape(-1)
    return deflate(data.data, layout.dtype.kind == "f")


def _checksummed(packed: list[bytes]) -> list[bytes]:
    sums = _checksums(packed).tobytes()
    return [part + sums[4 * number : 4 * number + 4] for number, part in enumerate(packed)]


def decode_chunk(layout: ArrayLayout, data: bytes) -> np.ndarray:
    """Decode one chunk to all its rows, or raise `ChecksumError` where it is not as it was written."""
    packed = memoryview(data)[:-4]
    if len(data) < 4 or fletcher32(packed) != int.from_bytes(data[-4:], "little"):
        raise ChecksumError("checksum differs")
    flat = np.frombuffer(inflate(packed, layout.chunk_rows * layout.row_bytes), np.uint8)
    if layout.shuffled:
        flat = np.ascontiguousarray(flat.reshape(layout.dtype.itemsize, -1).T).reshape(-1)
    return flat.view(layout.dtype).reshape(layout.chunk_shape)


@dataclass(frozen=True)
class EncodedRows:
    """Rows of an array from number ``start`` on: whole chunks encoded, and hashed; other rows as they are."""

    start: int
    head: np.ndarray
    chunks: list[bytes]
    hashes: np.ndarray
    tail: np.ndarray


def encode_rows(layout: ArrayLayout, start: int, rows: np.ndarray) -> EncodedRows:
    """Encode the chunks that lie whole within the rows from number ``start`` on; leave the other rows."""
    size = layout.chunk_rows
    boundary = min(-start % size, len(rows))
    last = boundary + (len(rows) - boundary) // size * size
    rows = np.ascontiguousarray(rows, layout.dtype)
    whole = [rows[first : first + size] for first in range(boundary, last, size)]
    hashes = np.array([chunk_hash(chunk) for chunk in whole], np.uint64)
    chunks = _checksummed([_packed(layout, chunk) for chunk in whole])
    return EncodedRows(start, rows[:boundary].copy(), chunks, hashes, rows[last:].copy())
