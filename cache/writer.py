"""Writer of a cache file, which gets its final name when it is whole."""

import contextlib
import dataclasses
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.chunks import EncodedRows, chunk_hash, encode_chunk
from gradformer_dgl.cache.format import ArrayLayout
from gradformer_dgl.support.atomic_write import sync
from gradformer_dgl.support.errors import CacheError, one_line
from gradformer_dgl.version import __version__


@dataclasses.dataclass(frozen=True)
class CachePlan:
    """Contents of a cache, apart from the values; ``encodings`` gives the columns of each."""

    dtype: np.dtype
    layout: str = cache_format.DENSE
    encodings: Mapping[str, int] = dataclasses.field(default_factory=dict)
    extra_distances: tuple[str, ...] = ()
    weighted: bool = False
    directed: bool = False
    max_distance: int | None = None

    def layouts(self, sizes: "CacheSizes | None" = None) -> dict[str, ArrayLayout]:
        """Return the layout of each array by name; encoded with that of endless ones, rows fit all sizes."""
        sizes = ENDLESS if sizes is None else sizes
        u64, i32, f32 = np.dtype(np.uint64), np.dtype(np.int32), np.dtype(np.float32)
        found = [
            ArrayLayout(cache_format.NODE_COUNTS, i32, (sizes.graphs,)),
            ArrayLayout(cache_format.FINGERPRINTS, u64, (sizes.graphs,)),
        ]
        if self.layout == cache_format.SPARSE:
            found += [
                ArrayLayout(cache_format.NEAR_COUNTS, i32, (sizes.nodes,)),
                ArrayLayout(cache_format.NEAR_NODES, i32, (sizes.sparse_pairs,)),
                ArrayLayout(cache_format.NEAR_DISTANCES, self.dtype, (sizes.sparse_pairs,)),
            ]
        else:
            found.append(ArrayLayout(cache_format.DISTANCES, self.dtype, (sizes.pairs,)))
        for name, columns in self.encodings.items():
            found.append(ArrayLayout(cache_format.encoding_array(name), f32, (sizes.nodes, columns)))
        for name in self.extra_distances:
            found.append(ArrayLayout(cache_format.extra_distances_array(name), f32, (sizes.pairs,)))
        if self.weighted:
            found.append(ArrayLayout(cache_format.WEIGHT_FINGERPRINTS, u64, (sizes.graphs,)))
        return {layout.name: layout for layout in found}


@dataclasses.dataclass(frozen=True)
class CacheSizes:
    """Number of graphs, of nodes, of all pairs, and of the pairs within the cut-off of a sparse layout."""

    graphs: int
    nodes: int
    pairs: int
    sparse_pairs: int = 0

    def __add__(self, other: "CacheSizes") -> "CacheSizes":
        return CacheSizes(*map(operator.add, dataclasses.astuple(self), dataclasses.astuple(other)))


ENDLESS = CacheSizes(*[1 << 62] * 4)


class CacheWriter:
    """Writer of one cache file, whose final name changes only in `finish`, and at once.

    As a context manager it removes what it wrote where it was left without `finish`.
    """

    def __init__(self, path: str | os.PathLike[str], plan: CachePlan, sizes: CacheSizes) -> None:
        self.path = Path(path)
        self.plan, self.sizes = plan, sizes
        self._temporary = self.path.with_name(self.path.name + ".tmp")
        self.layouts = plan.layouts(sizes)
        self._pending: dict[str, np.ndarray] = {
            name: np.empty((0, *layout.shape[1:]), layout.dtype) for name, layout in self.layouts.items()
        }
        self._rows_written = dict.fromkeys(self.layouts, 0)
        self._hashes: dict[str, list[np.ndarray]] = {name: [] for name in self.layouts}
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.h5d.DatasetID] = {}
        self._finished = False
        with self._writing():
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._file = _new_file(self._temporary)
            for layout in self.layouts.values():
                self._create(layout)

    def __enter__(self) -> "CacheWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._finished:
            self.abort()

    def append(self, name: str, rows: EncodedRows) -> None:
        """Add the next rows of one array, encoded with a layout of the plan."""
        layout = self.layouts[name]
        pending = self._pending[name]
        position = self._rows_written[name] + len(pending)
        if rows.start != position:
            raise ValueError(f"rows of {name} begin at {rows.start}, expected {position}")
        with self._writing():
            pending = np.concatenate([pending, rows.head])
            if len(pending) == layout.chunk_rows and not layout.empty:
                self._write_rows(layout, pending)
                pending = pending[:0]
            self._hashes[name].append(rows.hashes)
            for chunk in rows.chunks:
                self._write_chunk(layout, chunk, layout.chunk_rows)
            self._pending[name] = np.concatenate([pending, rows.tail])

    def finish(self, histogram: np.ndarray, data_fingerprint: str) -> None:
        """Write what is left with one hash of all fingerprints, make it durable, and name the file."""
        assert self._file is not None
        with self._writing():
            for name, layout in self.layouts.items():
                pending = self._pending[name]
                if len(pending) and not layout.empty:
                    self._write_rows(layout, pending)
                if self._rows_written[name] != layout.rows and not layout.empty:
                    raise ValueError(f"{name} has {self._rows_written[name]} rows of {layout.rows}")
            self._write_histogram(histogram.astype(np.int64))
            attributes = self._attributes(histogram, data_fingerprint)
            attributes[cache_format.CONTENTS_HASH] = self._write_hashes()
            self._file.attrs.update(cache_format.stored_attributes(attributes))
            self._datasets.clear()
            self._file.close()
            self._file = None
            sync(self._temporary)
            self._temporary.replace(self.path)
            sync(self.path.parent)
        self._finished = True

    def abort(self) -> None:
        """Remove what was written."""
        self._datasets.clear()
        if self._file is not None:
            # A full disk fails again here, where HDF5 flushes.
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                self._file.close()
            self._file = None
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _attributes(self, histogram: np.ndarray, data_fingerprint: str) -> dict[str, Any]:
        plan = self.plan
        finite = np.flatnonzero(histogram)
        attributes = {
            "encoding-type": cache_format.TYPE,
            "encoding-version": cache_format.VERSION,
            "distance": "shortest_path",
            "directed": plan.directed,
            "max_distance": cache_format.NO_CUTOFF if plan.max_distance is None else plan.max_distance,
            "unreachable": int(np.iinfo(plan.dtype).max),
            "num_graphs": self.sizes.graphs,
            "longest_distance": int(finite[-1]) if len(finite) else 0,
            "data-fingerprint": data_fingerprint,
            "created-by": f"gradformer-dgl {__version__}",
        }
        if plan.layout == cache_format.SPARSE:
            attributes["layout"] = plan.layout
        if plan.extra_distances:
            attributes["extra-distances"] = ",".join(sorted(plan.extra_distances))
        return attributes

    def _create(self, layout: ArrayLayout) -> None:
        assert self._file is not None
        group = layout.name.rpartition("/")[0]
        if group and group not in self._file:
            h5py.h5g.create(self._file.id, group.encode(), gcpl=_untimed(h5py.h5p.GROUP_CREATE))
        if layout.empty:
            self._file.create_dataset(layout.name, layout.shape, layout.dtype)
            return
        dataset = self._file.create_dataset(
            layout.name,
            layout.shape,
            layout.dtype,
            chunks=layout.chunk_shape,
            compression="gzip",
            compression_opts=4,
            shuffle=layout.shuffled,
            fletcher32=True,
        )
        self._datasets[layout.name] = dataset.id

    def _write_histogram(self, histogram: np.ndarray) -> None:
        layout = ArrayLayout(cache_format.HISTOGRAM, histogram.dtype, histogram.shape)
        self._create(layout)
        self.layouts[layout.name] = layout
        self._rows_written[layout.name] = 0
        self._hashes[layout.name] = []
        for first in range(0, len(histogram), layout.chunk_rows):
            self._write_rows(layout, histogram[first : first + layout.chunk_rows])

    def _write_hashes(self) -> str:
        """Write the hashes of all chunks, array after array by name; return the hash of all contents."""
        assert self._file is not None
        names = sorted(self.layouts)
        hashes = np.concatenate(
            [np.empty(0, np.uint64), *(part for name in names for part in self._hashes[name])]
        )
        self._file.create_dataset(cache_format.CHUNK_HASHES, data=hashes)
        return cache_format.contents_hash([self.layouts[name] for name in names], hashes)

    def _write_rows(self, layout: ArrayLayout, rows: np.ndarray) -> None:
        self._hashes[layout.name].append(np.array([chunk_hash(rows)], np.uint64))
        self._write_chunk(layout, encode_chunk(layout, rows), len(rows))

    def _write_chunk(self, layout: ArrayLayout, chunk: bytes, rows: int) -> None:
        first = self._rows_written[layout.name]
        offset = (first,) + (0,) * (len(layout.shape) - 1)
        self._datasets[layout.name].write_direct_chunk(offset, chunk)
        self._rows_written[layout.name] = first + rows

    @contextlib.contextmanager
    def _writing(self) -> Any:
        try:
            yield
        except (OSError, RuntimeError) as error:
            self.abort()
            raise CacheError(f"cannot write {self.path}: {reason_of(error)}") from error


def _new_file(path: Path) -> h5py.File:
    """Create a file in the format 1.10, as h5py does, but without the time.

    h5py before 3.15 writes it into every group of that format, so that no two files are the same.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_file_locking(False, True)
    creation = _untimed(h5py.h5p.FILE_CREATE)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access))


def _untimed(kind: Any) -> Any:
    properties = h5py.h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def reason_of(error: BaseException) -> str:
    """Return one line that says why writing failed, without HDF5's inner words."""
    text = one_line(error)
    for number in (28, 122, 27):
        if getattr(error, "errno", None) == number or f"errno = {number}" in text:
            return f"{os.strerror(number)}; free some space or choose another folder, then run it again"
    if isinstance(error, PermissionError) or "errno = 13" in text:
        return "no permission; choose a folder that you may write to"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text
