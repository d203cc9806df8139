"""The unit of work of preprocessing: a range of graphs, computed and encoded whole, kept on disk or not."""

import contextlib
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.cache.chunks import EncodedRows, encode_rows
from gradformer_dgl.cache.format import DISTANCES, ENCODINGS, ArrayLayout
from gradformer_dgl.preprocess.encodings import NodeEncoding
from gradformer_dgl.preprocess.shortest_paths import packed_distances
from gradformer_dgl.preprocess.structures import GraphStructures


@dataclass(frozen=True)
class Task:
    """What one part is computed from; plain arrays and numbers, so that it can be sent anywhere.

    Parameters
    ----------
    number : int
        Place among the parts.
    structures : GraphStructures
        Its graphs.
    first_graph, first_node, first_pair : int
        Graphs, nodes and pairs of all graphs before it.
    layouts : dict
        Layout of each array of the cache.
    encodings : tuple of NodeEncoding
        Node encodings to compute.
    directed : bool
        Whether distances follow the direction of edges.
    max_distance : int or None
        The cut-off.
    """

    number: int
    structures: GraphStructures
    first_graph: int
    first_node: int
    first_pair: int
    layouts: dict[str, ArrayLayout]
    encodings: tuple[NodeEncoding, ...]
    directed: bool
    max_distance: int | None


@dataclass(frozen=True)
class Part:
    """Encoded rows of each array of the cache, fingerprints and distance histogram of a range of graphs."""

    rows: dict[str, EncodedRows]
    fingerprints: np.ndarray
    histogram: np.ndarray


def compute_part(task: Task) -> Part:
    """Compute and encode everything that the cache holds of a task's graphs.

    Raises
    ------
    DistanceOverflowError
        Where a finite distance does not fit the type of the layout.
    """
    layout = task.layouts[DISTANCES]
    distances, fingerprints, histogram = packed_distances(
        task.structures, layout.dtype, task.directed, task.max_distance, task.first_graph
    )
    rows = {DISTANCES: encode_rows(layout, task.first_pair, distances)}
    for encoding in task.encodings:
        name = f"{ENCODINGS}/{encoding.name}"
        values = encoding(task.structures, task.directed)
        rows[name] = encode_rows(task.layouts[name], task.first_node, values)
    return Part(rows, fingerprints, histogram)


class PartStore:
    """Finished parts in a folder beside the target; each is there whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    plan : dict
        What the parts are parts of, options included. Parts of another plan are removed.
    resume : bool
        Keep parts of the same plan.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], resume: bool) -> None:
        self.folder = folder
        if not resume or self.plan_in(folder) != plan:
            self.remove(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._replace(self.folder / "plan.json", json.dumps(plan).encode())

    @staticmethod
    def plan_in(folder: Path) -> dict[str, Any] | None:
        """Return the plan of the parts in a folder, None where there is none."""
        try:
            return json.loads((folder / "plan.json").read_text())
        except (OSError, ValueError):
            return None

    def __contains__(self, number: int) -> bool:
        return self._file(number).exists()

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:07d}.npz"

    def save(self, number: int, part: Part) -> None:
        """Write a part whole, then give it its name."""
        arrays = {"fingerprints": part.fingerprints, "histogram": part.histogram}
        for name, rows in part.rows.items():
            arrays[f"{name}|start"] = np.array(rows.start)
            arrays[f"{name}|head"] = rows.head
            arrays[f"{name}|tail"] = rows.tail
            arrays[f"{name}|sizes"] = np.array([len(chunk) for chunk in rows.chunks], dtype=np.int64)
            arrays[f"{name}|chunks"] = np.frombuffer(b"".join(rows.chunks), dtype=np.uint8)
        temporary = self._temporary(self._file(number))
        with temporary.open("wb") as stream:
            # Names hold slashes and colons, which keyword arguments take as any other string.
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        temporary.replace(self._file(number))

    def load(self, number: int) -> Part | None:
        """Read a part; None where it is missing or broken (the machine lost power before it was on disk)."""
        try:
            with np.load(self._file(number), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            names = [name.removesuffix("|start") for name in arrays if name.endswith("|start")]
            return Part(
                {name: _rows_of(arrays, name) for name in names}, arrays["fingerprints"], arrays["histogram"]
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove all parts and their folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def _replace(self, file: Path, content: bytes) -> None:
        temporary = self._temporary(file)
        temporary.write_bytes(content)
        temporary.replace(file)

    @staticmethod
    def _temporary(file: Path) -> Path:
        return file.with_name(f"{file.name}.{os.getpid()}.tmp")


def _rows_of(arrays: dict[str, np.ndarray], name: str) -> EncodedRows:
    data = arrays[f"{name}|chunks"].tobytes()
    ends = np.cumsum(arrays[f"{name}|sizes"])
    chunks = [data[end - size : end] for size, end in zip(arrays[f"{name}|sizes"], ends, strict=True)]
    return EncodedRows(int(arrays[f"{name}|start"]), arrays[f"{name}|head"], chunks, arrays[f"{name}|tail"])
