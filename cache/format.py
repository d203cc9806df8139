"""Format of the cache file: names, types and versions, on which writer and reader agree.

A cache is one HDF5 file with flat arrays for all graphs, never an object per graph:

========================  =======================  ==========================================================
object                    shape, type              meaning
========================  =======================  ==========================================================
``node_counts``           (graphs,) int32          nodes per graph
``distances``             (pairs,) uint8, uint16   row-major distance matrices, one after the other
``fingerprints``          (graphs,) uint64         hash of each graph's structure
``histogram``             (longest + 1,) int64     number of pairs at each finite distance
``encodings/NAME``        (nodes, k) float32       node encodings
``extra_distances/NAME``  (pairs,) float32         other distances, laid out as ``distances``; inf: no path
``weight_fingerprints``   (graphs,) uint64         hash of each graph's edge weights, where they are used
``chunk_hashes``          (chunks,) uint64         XXH3 of the rows of each chunk, array after array by name
========================  =======================  ==========================================================

The sparse layout (attribute ``layout`` = ``sparse``) has three arrays in the place of
``distances``, with the pairs within ``max_distance`` only, row after row:

========================  =======================  ==========================================================
``near_counts``           (nodes,) int32           number of nodes within reach of each node, itself included
``near_nodes``            (near pairs,) int32      their ids within the graph, ascending in each row
``near_distances``        (near pairs,) as above   their distances
========================  =======================  ==========================================================

All arrays are chunked, deflated and carry HDF5's Fletcher-32 checksum; object headers carry HDF5's own
checksums (file format 1.10), and the attributes of the root group a CRC-32 in ``attributes-crc32``. What
the chunks say, in which order, and what the arrays are called is in ``chunk_hashes``, which the attribute
``contents-hash`` covers: chunks that change places, or are written again by another program, are found.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xxhash

TYPE = "gradformer-dgl-distances"
# Written, and the newest that is read. Files of version 1, and sparse ones of 0.1.0, have no hashes.
VERSION = 2

NODE_COUNTS = "node_counts"
DISTANCES = "distances"
FINGERPRINTS = "fingerprints"
HISTOGRAM = "histogram"
ENCODINGS = "encodings"
EXTRA_DISTANCES = "extra_distances"
WEIGHT_FINGERPRINTS = "weight_fingerprints"
CHUNK_HASHES = "chunk_hashes"
NEAR_COUNTS, NEAR_NODES, NEAR_DISTANCES = "near_counts", "near_nodes", "near_distances"

DENSE, SPARSE = LAYOUTS = ("dense", "sparse")

ATTRIBUTES_CHECKSUM = "attributes-crc32"
CONTENTS_HASH = "contents-hash"
# What the attribute max_distance says where there is no cut-off.
NO_CUTOFF = -1

# One random graph costs one chunk's decompression; smaller chunks compress worse.
CHUNK_BYTES = 24 << 10


@dataclass(frozen=True)
class ArrayLayout:
    """Layout of one array of the file, of shape ``(rows,)`` or ``(rows, columns)``."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Entries along the first axis."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * (self.shape[1] if len(self.shape) == 2 else 1)

    @cached_property
    def chunk_rows(self) -> int:
        """Rows of one chunk."""
        return max(1, min(self.rows, CHUNK_BYTES // max(1, self.row_bytes)))

    @cached_property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of one chunk."""
        return (self.chunk_rows, *self.shape[1:])

    @property
    def num_chunks(self) -> int:
        """Chunks of the array, the last of which may have fewer rows."""
        return 0 if self.empty else -(-self.rows // self.chunk_rows)

    @property
    def shuffled(self) -> bool:
        """True where bytes of like significance are gathered before compression."""
        return self.dtype.itemsize > 1

    @property
    def empty(self) -> bool:
        """True where there is nothing to store, which HDF5 cannot chunk."""
        return 0 in self.shape


def encoding_array(name: str) -> str:
    """Return the name of the array that holds a node encoding."""
    return f"{ENCODINGS}/{name}"


def extra_distances_array(name: str) -> str:
    """Return the name of the array that holds other distances."""
    return f"{EXTRA_DISTANCES}/{name}"


def contents_hash(layouts: Iterable[ArrayLayout], hashes: np.ndarray) -> str:
    """Return the XXH3 of the names, types and shapes of arrays, and of the hashes of their chunks."""
    lines = [f"{layout.name} {layout.dtype} {'x'.join(map(str, layout.shape))}" for layout in layouts]
    digest = xxhash.xxh3_64("\n".join(lines).encode())
    digest.update(np.ascontiguousarray(hashes, "<u8").data)
    return digest.hexdigest()


def stored_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return root attributes, ASCII strings or integers by name, with their checksum added."""
    plain = {name: plain_attribute(value) for name, value in attributes.items()}
    return {**plain, ATTRIBUTES_CHECKSUM: attributes_checksum(plain)}


def plain_attribute(value: Any) -> str | int:
    """Return an attribute as a Python string or integer, however HDF5 stores it."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else int(value)


def attributes_checksum(attributes: Mapping[str, Any]) -> int:
    """Return the CRC-32 of all root attributes but the checksum itself."""
    names = sorted(name for name in attributes if name != ATTRIBUTES_CHECKSUM)
    lines = [f"{name}={plain_attribute(attributes[name])}" for name in names]
    return zlib.crc32("\n".join(lines).encode())
