"""Caches written for tests straight from matrices, with distances that SciPy found."""

from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from gradformer_dgl.cache.chunks import encode_rows
from gradformer_dgl.cache.format import attributes_checksum, stored_attributes
from gradformer_dgl.cache.writer import CachePlan, CacheSizes, CacheWriter

Graph = tuple[np.ndarray, np.ndarray, int]


def random_graphs(sizes: Sequence[int], seed: int = 0, degree: float = 1.5) -> list[Graph]:
    """Return sparse random graphs (src, dst, nodes): several components, isolated nodes, self loops."""
    rng = np.random.default_rng(seed)
    return [(*rng.integers(0, max(size, 1), (2, int(degree * size))), size) for size in sizes]


def hops(graph: Graph, directed: bool = False, max_distance: float = np.inf) -> np.ndarray:
    """Return the distances between all nodes, inf where there is no path within the cut-off."""
    src, dst, size = graph
    # SciPy before 1.15 searches matrices with indices of 32 bits only.
    src, dst = np.asarray(src, np.int32), np.asarray(dst, np.int32)
    matrix = csr_array((np.ones(len(src)), (src, dst)), shape=(size, size))
    found = shortest_path(matrix, directed=directed, unweighted=True) if size else np.zeros((0, 0))
    return np.where(found > max_distance, np.inf, found)


def write_cache(
    path,
    matrices: Sequence[np.ndarray],
    *,
    layout: str = "dense",
    dtype=np.uint8,
    encodings: Mapping[str, np.ndarray] | None = None,
    extra_distances: Mapping[str, np.ndarray] | None = None,
    prints: np.ndarray | None = None,
    weight_prints: np.ndarray | None = None,
    directed: bool = False,
    max_distance: int | None = None,
    **changed: np.ndarray,
):
    """Write a cache of these matrices of hops; ``changed`` arrays take the place of the right ones."""
    encodings, extra_distances = encodings or {}, extra_distances or {}
    dtype = np.dtype(dtype)
    flat = np.concatenate([np.zeros(0), *(matrix.ravel() for matrix in matrices)])
    near = np.isfinite(flat)
    ids = [np.tile(np.arange(len(matrix)), len(matrix)) for matrix in matrices]
    arrays = {
        "node_counts": np.array([len(matrix) for matrix in matrices], np.int32),
        "fingerprints": np.arange(len(matrices), dtype=np.uint64) if prints is None else prints,
    }
    if layout == "sparse":
        arrays["near_counts"] = np.concatenate([np.isfinite(matrix).sum(1) for matrix in matrices])
        arrays["near_nodes"] = np.concatenate(ids)[near]
        arrays["near_distances"] = flat[near]
    else:
        arrays["distances"] = np.where(near, flat, np.iinfo(dtype).max)
    arrays |= {f"encodings/{name}": rows for name, rows in encodings.items()}
    arrays |= {f"extra_distances/{name}": rows for name, rows in extra_distances.items()}
    if weight_prints is not None:
        arrays["weight_fingerprints"] = weight_prints
    arrays |= changed
    plan = CachePlan(
        dtype,
        layout,
        {name: rows.shape[1] for name, rows in encodings.items()},
        tuple(extra_distances),
        weight_prints is not None,
        directed,
        max_distance,
    )
    nodes = sum(len(matrix) for matrix in matrices)
    sizes = CacheSizes(len(matrices), nodes, len(flat), len(arrays.get("near_nodes", ())))
    with CacheWriter(path, plan, sizes) as writer:
        for name, rows in arrays.items():
            writer.append(name, encode_rows(writer.layouts[name], 0, rows.astype(writer.layouts[name].dtype)))
        writer.finish(np.bincount(flat[near].astype(np.int64), minlength=1), "0" * 16)
    return path


def replace_array(path, name: str, values=None, **options) -> None:
    """Put another data set in the place of one in the file, or nothing."""
    with h5py.File(path, "r+") as file:
        del file[name]
        if values is not None or options:
            file.create_dataset(name, data=values, **options)


def change_attributes(path, **changes) -> None:
    """Change attributes of the file (dashes written as double underscores), and their checksum with them."""
    with h5py.File(path, "r+") as file:
        changes = {name.replace("__", "-"): value for name, value in changes.items()}
        file.attrs.update(stored_attributes({**file.attrs, **changes}))


def make_version_1(path) -> None:
    """Take the hashes out of a file, as files of version 1 and sparse ones of 0.1.0 are."""
    replace_array(path, "chunk_hashes")
    with h5py.File(path, "r+") as file:
        del file.attrs["contents-hash"]
        file.attrs["encoding-version"] = 2 if "near_nodes" in file else 1
        file.attrs["attributes-crc32"] = attributes_checksum(file.attrs)


def exchange_chunks(path, name: str, first: int, second: int, both: bool = True) -> None:
    """Write the second of two stored chunks of an array in the place of the first, or exchange both."""
    with h5py.File(path, "r+") as file:
        chunks = file[name].id
        places = [chunks.get_chunk_info(number).chunk_offset for number in (first, second)]
        stored = [chunks.read_direct_chunk(place)[1] for place in places]
        chunks.write_direct_chunk(places[0], stored[1])
        if both:
            chunks.write_direct_chunk(places[1], stored[0])


def break_chunk(path, name: str, number: int) -> None:
    """Flip one bit in the middle of a chunk."""
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(number)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 16
    path.write_bytes(content)
