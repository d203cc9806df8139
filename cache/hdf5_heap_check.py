"""Check of the heap of an HDF5 file's attribute strings, before HDF5 walks it.

It is the one structure of the file that HDF5 neither checksums nor always returns from: an object in it
that claims to take no space is stepped over forever. What the strings say is checked by the checksum of
the attributes, once they are read.
"""

import os
from pathlib import Path
from typing import BinaryIO

# Signature, version 1 and three reserved bytes of a heap; its size in 8 bytes and its objects follow.
_HEAD = b"GCOL\x01\x00\x00\x00"
# An object: number in 2 bytes, references in 2, 4 reserved, size in 8, then its content.
_OBJECT_HEAD = 16
_BLOCK_BYTES = 1 << 20
# The strings of a cache's attributes take some hundred bytes.
_MOST_BYTES = 1 << 24


def check_string_heap(path: Path) -> None:
    """Check that every object in a file's last heap of strings takes some space in it, else `ValueError`.

    See "HDF5 File Format Specification Version 3.0", section III.E, Global Heap.
    """
    with path.open("rb") as file:
        begin = _last_heap(file)
        if begin < 0:
            return
        content = os.pread(file.fileno(), _MOST_BYTES, begin)
    position = len(_HEAD) + 8
    stop = int.from_bytes(content[position - 8 : position], "little")
    while position + _OBJECT_HEAD <= min(stop, len(content)):
        number = int.from_bytes(content[position : position + 2], "little")
        size = int.from_bytes(content[position + 8 : position + 16], "little")
        # Object 0 is the free space, whose size counts its own header.
        taken = size if number == 0 else _OBJECT_HEAD + -(-size // 8) * 8
        if not _OBJECT_HEAD <= taken <= stop - position:
            raise ValueError("the heap of its attributes' strings cannot be read")
        position += taken


def _last_heap(file: BinaryIO) -> int:
    """Return where the last heap of a file begins, or -1."""
    # Read, not mapped: a disk that fails under a mapped file ends the process.
    stop = os.fstat(file.fileno()).st_size
    while stop > 0:
        start = max(0, stop - _BLOCK_BYTES)
        found = os.pread(file.fileno(), stop - start + len(_HEAD) - 1, start).rfind(_HEAD)
        if found >= 0:
            return start + found
        stop = start
    return -1
