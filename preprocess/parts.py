"""The unit of work of preprocessing: a range of graphs, or of rows of a large one."""

import contextlib
import dataclasses
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.chunks import EncodedRows, decode_chunk, encode_rows
from gradformer_dgl.cache.format import ArrayLayout
from gradformer_dgl.cache.writer import CachePlan, CacheSizes
from gradformer_dgl.graphs.fingerprints import structure_fingerprints, weight_fingerprints
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.encodings import NodeEncoding
from gradformer_dgl.preprocess.shortest_paths import (
    DistanceOverflowError,
    packed_distances,
)

_CHECKSUM_BYTES = 4
# With so many numbers the identity of a part says where it lies; the fingerprints follow.
_PLACE_WORDS = 5
_NEAR = (cache_format.NEAR_NODES, cache_format.NEAR_DISTANCES)


@dataclasses.dataclass(frozen=True)
class Task:
    """What one part is computed from; plain arrays and numbers, so that it can be sent anywhere.

    Parameters
    ----------
    number : int
        Place among the parts.
    structures : GraphStructures
        Its graphs.
    rows : tuple of int or None
        Where it is some rows of one large graph, the first of them and the one after the last.
    before : CacheSizes
        Graphs, nodes and pairs of the parts before it.
    plan : CachePlan
        What the cache is to hold; the type of the distances is found by the part.
    encodings : tuple of NodeEncoding
        Node encodings to compute.
    """

    number: int
    structures: GraphStructures
    rows: tuple[int, int] | None
    before: CacheSizes
    plan: CachePlan
    encodings: tuple[NodeEncoding, ...]

    @property
    def begins_graphs(self) -> bool:
        """Whether what is kept once per graph belongs to this part: not for later rows of a large graph."""
        return self.rows is None or self.rows[0] == 0

    @property
    def sizes(self) -> CacheSizes:
        """Graphs, nodes and pairs of the part."""
        counts = self.structures.node_counts
        if self.rows is None:
            return CacheSizes(len(counts), int(counts.sum()), self.structures.num_pairs)
        num_rows = self.rows[1] - self.rows[0]
        return CacheSizes(int(self.begins_graphs), num_rows, num_rows * int(counts[0]))


@dataclasses.dataclass(frozen=True)
class PartSummary:
    """What merging needs to know of a part beforehand: its place, size, and type of distances."""

    number: int
    sizes: CacheSizes
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Part:
    """Encoded rows of each array of the cache, and the distance histogram.

    Parameters
    ----------
    summary : PartSummary
        Place, size and type.
    identity : numpy.ndarray
        What the part was computed from: where it lies, and the fingerprints of its graphs.
    rows : dict
        By name of the array. Those of near pairs begin at 0, for their place is known in the end only.
    histogram : numpy.ndarray
        Number of pairs at each finite distance.
    """

    summary: PartSummary
    identity: np.ndarray
    rows: dict[str, EncodedRows]
    histogram: np.ndarray

    @property
    def number(self) -> int:
        """Place among the parts."""
        return self.summary.number

    @property
    def fingerprints(self) -> np.ndarray:
        """Fingerprints of the graphs that begin in this part."""
        return self.identity[_PLACE_WORDS:][: self.summary.sizes.graphs]


def compute_part(task: Task) -> Part:
    """Compute and encode everything that the cache holds of a task's graphs, in the smallest type that fits.

    Raises
    ------
    DistanceOverflowError
        Where a finite distance exceeds 16 bits.
    """
    try:
        return _computed(task, np.dtype(np.uint8))
    except DistanceOverflowError:
        return _computed(task, np.dtype(np.uint16))


def _computed(task: Task, dtype: np.dtype) -> Part:
    structures, plan, before = task.structures, task.plan, task.before
    layouts = dataclasses.replace(plan, dtype=dtype).layouts()
    rows: dict[str, EncodedRows] = {}

    def keep(name: str, start: int, values: np.ndarray) -> None:
        rows[name] = encode_rows(layouts[name], start, values)

    sizes = task.sizes
    arguments = (structures, dtype, plan.directed, plan.max_distance, before.graphs, task.rows)
    if plan.layout == cache_format.SPARSE:
        from gradformer_dgl.preprocess.sparse_pairs import packed_near_pairs

        counts, nodes, distances, prints, histogram = packed_near_pairs(*arguments)
        sizes = dataclasses.replace(sizes, near_pairs=len(nodes))
        keep(cache_format.NEAR_COUNTS, before.nodes, counts)
        keep(cache_format.NEAR_NODES, 0, nodes)
        keep(cache_format.NEAR_DISTANCES, 0, distances)
    else:
        distances, prints, histogram = packed_distances(*arguments)
        keep(cache_format.DISTANCES, before.pairs, distances)
    weight_prints = _weight_prints(task)
    if task.begins_graphs:
        keep(cache_format.NODE_COUNTS, before.graphs, structures.node_counts.astype(np.int32))
        keep(cache_format.FINGERPRINTS, before.graphs, prints)
        for encoding in task.encodings:
            values = encoding(structures, plan.directed)
            keep(cache_format.encoding_array(encoding.name), before.nodes, values)
        for name in plan.extra_distances:
            from gradformer_dgl.preprocess.extra_distances import extra_distances

            values = extra_distances(structures, name, plan.directed, before.graphs)
            keep(cache_format.extra_distances_array(name), before.pairs, values)
        if plan.weighted:
            keep(cache_format.WEIGHT_FINGERPRINTS, before.graphs, weight_prints)
    identity = _identity(task, prints, weight_prints)
    return Part(PartSummary(task.number, sizes, dtype), identity, rows, histogram)


def _identity(task: Task, prints: np.ndarray, weight_prints: np.ndarray) -> np.ndarray:
    """Where a part lies and which graphs it is of, to tell whether a part on disk is that of a task."""
    rows = (-1, -1) if task.rows is None else task.rows
    place = (task.before.graphs, task.before.nodes, task.before.pairs, *rows)
    return np.concatenate([np.array(place, np.int64).view(np.uint64), prints, weight_prints])


def _weight_prints(task: Task) -> np.ndarray:
    if not task.plan.weighted:
        return np.empty(0, np.uint64)
    return weight_fingerprints(task.structures, task.plan.directed)


def placed_rows(part: Part, plan: CachePlan, near_pairs_before: int) -> Iterator[tuple[str, EncodedRows]]:
    """Return the rows of a part as they go into the file.

    Parameters
    ----------
    part : Part
        The part.
    plan : CachePlan
        That of the file, whose type of distances may be wider than the part's.
    near_pairs_before : int
        Near pairs of all parts before it.

    Yields
    ------
    tuple
        Name of the array, and its rows.
    """
    narrow = dataclasses.replace(plan, dtype=part.summary.dtype).layouts()
    wide = plan.layouts()
    for name, new in wide.items():
        if name not in part.rows:
            continue
        rows, old = part.rows[name], narrow[name]
        start = near_pairs_before if name in _NEAR else rows.start
        if (rows.start, old.dtype) != (start, new.dtype):
            rows = encode_rows(new, start, _widened(_decoded(old, rows), new.dtype))
        yield name, rows


def _decoded(layout: ArrayLayout, rows: EncodedRows) -> np.ndarray:
    return np.concatenate([rows.head, *(decode_chunk(layout, chunk) for chunk in rows.chunks), rows.tail])


def _widened(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same distances in a wider type, whose largest value marks an unreachable pair."""
    if values.dtype == dtype:
        return values
    widened = values.astype(dtype)
    widened[values == np.iinfo(values.dtype).max] = np.iinfo(dtype).max
    return widened


class PartStore:
    """Finished parts in a folder beside the target; each is there whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, of a path that means the same to all workers.
    options : dict
        The options that the parts are computed with. Parts made with others are removed.
    resume : bool
        Keep parts made with the same options.
    """

    def __init__(self, folder: Path, options: dict[str, Any], resume: bool) -> None:
        self.folder = folder
        if not resume or self._options() != options:
            self.remove()
        folder.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary(folder / "options.json")
        temporary.write_text(json.dumps(options))
        temporary.replace(folder / "options.json")

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
            arrays[f"{name}|sizes"] = np.array([len(chunk) for chunk in rows.chunks], dtype=np.int64)
            arrays[f"{name}|chunks"] = np.frombuffer(b"".join(rows.chunks), dtype=np.uint8)
        content = save(arrays)
        temporary = self._temporary(self._file(summary.number))
        temporary.write_bytes(zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little") + content)
        temporary.replace(self._file(summary.number))

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
        except (OSError, SafetensorError):
            return None

    def finished(self, task: Task) -> PartSummary | None:
        """Summary of the part of a task where an earlier run has left it, whole and of the same graphs."""
        part = self.load(task.number)
        if part is None:
            return None
        prints = structure_fingerprints(task.structures, task.plan.directed)
        identity = _identity(task, prints, _weight_prints(task))
        return part.summary if np.array_equal(part.identity, identity) else None

    def remove(self) -> None:
        """Remove all parts and their folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    @staticmethod
    def _temporary(file: Path) -> Path:
        return file.with_name(f"{file.name}.{os.getpid()}.tmp")


def _rows_of(arrays: dict[str, np.ndarray], name: str) -> EncodedRows:
    data = arrays[f"{name}|chunks"].tobytes()
    ends = np.cumsum(arrays[f"{name}|sizes"])
    chunks = [data[end - size : end] for size, end in zip(arrays[f"{name}|sizes"], ends, strict=True)]
    return EncodedRows(
        int(arrays[f"{name}|start"][0]), arrays[f"{name}|head"], chunks, arrays[f"{name}|tail"]
    )
