"""Cost of reading a cache: filters and chunk sizes tried, then whole caches beside plain files.

Times are those of the processor, one thread, the file in the page cache, the best of several passes.

    python benchmarks/reading.py --data-root DIR
"""

import os
import pickle
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np

from gradformer_dgl.cache import DistanceCache, chunks
from gradformer_dgl.cache.format import CHUNK_BYTES, ArrayLayout
from gradformer_dgl.cache.stored_array import StoredArray, open_array

DATA_SETS = ("NCI1", "ZINC12k")
CHUNK_KIB = (8, 16, 24, 32, 64)
RANDOM_GRAPHS = 200
BATCH_SIZE = 128
PASSES = 3

Compress = Callable[[bytes], bytes]


def seconds(work: Callable[[], Any], passes: int = PASSES) -> float:
    """Processor seconds of the best of several passes."""
    times = []
    for _ in range(passes):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def encoders() -> dict[str, Compress | str]:
    """Contenders by name: functions that make a zlib stream, or the name of an HDF5 filter."""
    found: dict[str, Compress | str] = {}
    if chunks.isal_zlib is not None:
        for level in (0, 1, 3):
            found[f"deflate, isal {level}"] = lambda data, level=level: chunks.isal_zlib.compress(data, level)
    for level in (1, 4, 6):
        found[f"deflate, zlib {level}"] = lambda data, level=level: zlib.compress(data, level)
    return found | {"lzf": "lzf", "none": ""}


def write(path: Path, values: np.ndarray, chunk_rows: int, encoder: Compress | str) -> None:
    """Write one array in chunks, all with HDF5's Fletcher-32."""
    layout = ArrayLayout("distances", values.dtype, values.shape, chunk_rows)
    filters = {"compression": "gzip" if callable(encoder) else encoder or None, "fletcher32": True}
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        dataset = file.create_dataset(
            "distances", values.shape, values.dtype, chunks=layout.chunk_shape, **filters
        )
        if not callable(encoder):
            dataset[...] = values
            return
        for first in range(0, layout.rows, chunk_rows):
            rows = np.zeros(chunk_rows, values.dtype)
            rows[: len(values) - first] = values[first : first + chunk_rows]
            packed = encoder(rows.tobytes())
            checksum = chunks.fletcher32(packed).to_bytes(4, "little")
            dataset.id.write_direct_chunk((first,), packed + checksum)


def random_graph_microseconds(read: Callable[[int], Any], graphs: int, forget: Callable[[], None]) -> float:
    """Mean over graphs from all over the file, none of its chunks decoded before."""
    chosen = np.random.default_rng(0).integers(0, graphs, RANDOM_GRAPHS).tolist()

    def one_by_one() -> None:
        for graph in chosen:
            forget()
            read(graph)

    return 1e6 * seconds(one_by_one) / len(chosen)


def filters_table(name: str, values: np.ndarray, node_counts: np.ndarray) -> None:
    """Size and speed of the distances of one data set with each filter and chunk size."""
    offsets = np.concatenate([[0], np.cumsum(np.square(node_counts.astype(np.int64)))]).tolist()
    graphs = len(node_counts)
    click.echo(f"\n## Filters, {name}: {graphs:,} graphs, {len(values):,} bytes of distances\n")
    click.echo(
        "| filter | chunk, KiB | bytes on disk | write, MB/s | read all, graphs/s | random graph, µs |"
    )
    click.echo("|---|---:|---:|---:|---:|---:|")
    for label, encoder in encoders().items():
        for kib in CHUNK_KIB:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "x.h5"
                writing = seconds(lambda p=path, k=kib, e=encoder: write(p, values, k << 10, e), 1)
                # HDF5 keeps chunks for itself where it decodes them.
                with h5py.File(path, rdcc_nbytes=0) as file:
                    array = open_array(file, "distances", (np.uint8,), 1, path.stat().st_size)
                    reading = seconds(lambda a=array: a.read(0, len(values)))
                    random = random_graph_microseconds(
                        lambda graph, a=array: a.read(offsets[graph], offsets[graph + 1]),
                        graphs,
                        array._kept.cache_clear,
                    )
                mark = " (chosen)" if label == chosen_filter() and kib << 10 == CHUNK_BYTES else ""
                click.echo(
                    f"| {label}{mark} | {kib} | {path.stat().st_size:,} | {len(values) / writing / 1e6:,.0f} "
                    f"| {graphs / reading:,.0f} | {random:,.0f} |"
                )


def chosen_filter() -> str:
    """The contender that the package writes with."""
    return "deflate, isal 3" if chunks.isal_zlib is not None else "deflate, zlib 4"


def caches_table(data_root: Path) -> None:
    """Finished caches: opening, one graph, all of them, and batches, beside HDF5's own filters and pickle."""
    import torch

    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.preprocess import preprocess_graphs

    torch.set_num_threads(1)
    click.echo("\n## Whole caches\n")
    click.echo(
        "| graphs | by | file, bytes | open, ms | random graph, µs | again, µs | read all, graphs/s "
        f"| batches of {BATCH_SIZE}, graphs/s |"
    )
    click.echo("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in DATA_SETS:
        if not (data_root / name).is_dir():
            continue
        dataset = load_dataset(name, data_root)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.h5"
            cache = preprocess_graphs(dataset.graphs, path, n_jobs=1)
            graphs, size = len(cache), path.stat().st_size
            opening = 1e3 * seconds(lambda p=path: DistanceCache(p))
            first = random_graph_microseconds(cache.__getitem__, graphs, kept(cache)._kept.cache_clear)
            again = random_graph_microseconds(cache.__getitem__, graphs, lambda: None)
            reading = seconds(cache.read)
            packed = dataset.graphs.with_cache(cache, verify=False)
            order = torch.randperm(graphs).split(BATCH_SIZE)
            cutting = seconds(lambda p=packed, o=order: [p.batch(chosen) for chosen in o])
            click.echo(
                f"| {name} | this package | {size:,} | {opening:.1f} | {first:,.0f} | {again:,.0f} "
                f"| {graphs / reading:,.0f} | {graphs / cutting:,.0f} |"
            )
            hdf5_row(name, shutil.copy(path, Path(folder) / "copy.h5"), cache)
            pickle_row(name, Path(folder) / "x.pickle", cache)


def kept(cache: DistanceCache) -> StoredArray:
    """The array that holds the distances of a dense cache."""
    return cache._array("distances")


def hdf5_row(name: str, path: Path, cache: DistanceCache) -> None:
    """A copy of the file, read through h5py and HDF5's own filters."""
    offsets = np.concatenate([[0], np.cumsum(np.square(cache.node_counts))]).tolist()
    # No chunk is kept: each graph costs what it costs the first time. The file itself is open already, and
    # would bring its chunks along.
    with h5py.File(path, rdcc_nbytes=0) as file:
        dataset = file["distances"]
        random = random_graph_microseconds(
            lambda graph: dataset[offsets[graph] : offsets[graph + 1]], len(cache), lambda: None
        )
        reading = seconds(lambda: dataset[...])
    click.echo(f"| {name} | h5py, same file | | | {random:,.0f} | | {len(cache) / reading:,.0f} | |")


def pickle_row(name: str, path: Path, cache: DistanceCache) -> None:
    """A list of one matrix per graph in a pickle: no checksums, nothing without reading all."""
    with path.open("wb") as file:
        pickle.dump([cache[graph] for graph in range(len(cache))], file)
    reading = seconds(lambda: pickle.loads(path.read_bytes()))
    size = path.stat().st_size
    click.echo(f"| {name} | pickle of matrices | {size:,} | | | | {len(cache) / reading:,.0f} | |")


@click.command()
@click.option("--data-root", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--only", type=click.Choice(["filters", "caches"]), help="One of the tables.")
def main(data_root: Path, only: str | None) -> None:
    """Print Markdown tables of what reading costs, by filter and chunk size, and beside plain files."""
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.preprocess.shortest_paths import packed_distances

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if only != "caches":
        for name in DATA_SETS:
            if (data_root / name).is_dir():
                structures = load_dataset(name, data_root).graphs.structures()
                values = packed_distances(structures, np.uint8)[0]
                filters_table(name, values, structures.node_counts)
    if only != "filters":
        caches_table(data_root)


if __name__ == "__main__":
    main()
