"""Finished parts in a folder on disk, from which an interrupted run resumes."""

import contextlib
import dataclasses
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gradformer_dgl.cache.chunks import EncodedRows
from gradformer_dgl.cache.writer import CacheSizes
from gradformer_dgl.preprocess.parts import Part, PartSummary, identity_of
from gradformer_dgl.preprocess.tasks import Task
from gradformer_dgl.support.atomic_write import write_atomically

_CHECKSUM_BYTES = 4


class PartStore:
    """Finished parts in a folder beside the target; each is there whole or not at all.

    Its path means the same to all workers. Parts made with other options are removed.
    """

    def __init__(self, folder: Path, options: dict[str, Any], resume: bool) -> None:
        self.folder = folder
        if not resume or self._options() != options:
            self.remove()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "options.json", json.dumps(options), durable=False)

    def _options(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / "options.json").read_text())
        except (OSError, ValueError):
            return None

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:07d}.part"

    def save(self, part: Part) -> None:
        """Write a part whole, then give it its name."""
        summary = part.summary
        sizes = dataclasses.astuple(summary.sizes)
        arrays = {
            "summary": np.array([summary.number, summary.dtype.itemsize, *sizes], dtype=np.int64),
            "identity": part.identity,
            "histogram": part.histogram,
        }
        for name, rows in part.rows.items():
            arrays[f"{name}|start"] = np.array([rows.start])
            arrays[f"{name}|head"] = rows.head
            arrays[f"{name}|tail"] = rows.tail
            arrays[f"{name}|hashes"] = rows.hashes
            arrays[f"{name}|sizes"] = np.array([len(chunk) for chunk in rows.chunks], dtype=np.int64)
            arrays[f"{name}|chunks"] = np.frombuffer(b"".join(rows.chunks), dtype=np.uint8)
        content = save(arrays)
        checksum = zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little")
        # A part that a loss of power leaves broken is found by its checksum and computed again.
        write_atomically(self._file(summary.number), checksum + content, durable=False)

    def load(self, number: int) -> Part | None:
        """Read a part; None where it is missing or broken (the machine lost power before it was on disk)."""
        try:
            data = self._file(number).read_bytes()
            checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
            if int.from_bytes(checksum, "little") != zlib.crc32(content):
                return None
            arrays = load(content)
            names = [name.removesuffix("|start") for name in arrays if name.endswith("|start")]
            place, itemsize, *sizes = arrays["summary"].tolist()
            return Part(
                PartSummary(place, CacheSizes(*sizes), np.dtype(f"u{itemsize}")),
                arrays["identity"],
                {name: _rows_of(arrays, name) for name in names},
                arrays["histogram"],
            )
        except (OSError, SafetensorError, KeyError):
            return None

    def finished(self, task: Task) -> PartSummary | None:
        """Return the summary of a task's part that an earlier run has left, whole and of the same graphs."""
        part = self.load(task.number)
        return part.summary if part is not None and np.array_equal(part.identity, identity_of(task)) else None

    def remove(self) -> None:
        """Remove all parts and their folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


def _rows_of(arrays: dict[str, np.ndarray], name: str) -> EncodedRows:
    fields = ("start", "head", "tail", "sizes", "hashes")
    start, head, tail, sizes, hashes = (arrays[f"{name}|{field}"] for field in fields)
    data, ends = arrays[f"{name}|chunks"].tobytes(), np.cumsum(sizes)
    chunks = [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return EncodedRows(int(start[0]), head, chunks, hashes, tail)
