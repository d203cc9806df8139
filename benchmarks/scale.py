"""Growth of preprocessing: millions of small graphs from a stream, single graphs of up to a million nodes.

Every row runs in a process of its own, which reports its time, the growth of its peak memory over what it
needs for nothing, and the size of the file. The rates in each tenth of the stream should be level.
"""

# ruff: noqa: E402 - the number of threads must be set before the libraries are loaded

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from preprocessing import peak_kib, random_structures

from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs

PIECE = 10_000


def molecules(count: int, ends: list[float] | None = None) -> Iterator[GraphStructures]:
    """Graphs like molecules: about 23 atoms in chains with branches, some rings; generated piece by piece.

    ``ends`` takes the time at which each tenth has been drawn.
    """
    for first in range(0, count, PIECE):
        rng = np.random.default_rng(first)
        node_counts = np.clip(rng.normal(23, 5, min(PIECE, count - first)).round().astype(int), 9, 60)
        starts = np.repeat(np.cumsum(node_counts) - node_counts, node_counts)
        atoms = np.arange(node_counts.sum()) - starts
        # Each atom but the first hangs on one of the few before it; every eighth closes a ring too.
        hanging = atoms > 0
        parents = np.maximum(atoms - rng.geometric(0.7, len(atoms)), 0)
        closing = (atoms > 5) & (rng.random(len(atoms)) < 0.125)
        graph = np.repeat(np.arange(len(node_counts)), node_counts)
        owner = np.concatenate([graph[hanging], graph[closing]])
        order = np.argsort(owner, kind="stable")
        src = np.concatenate([atoms[hanging], atoms[closing]])[order]
        dst = np.concatenate([parents[hanging], atoms[closing] - 5])[order]
        if ends is not None and first * 10 // count > len(ends) - 1:
            ends.append(time.perf_counter())
        yield GraphStructures(node_counts, np.bincount(owner, minlength=len(node_counts)), src, dst)


def stream_row(count: int, folder: Path, jobs: int) -> str:
    """One row of the first table."""
    ends: list[float] = []
    begin = time.perf_counter()
    for _ in molecules(count):
        pass
    generating = time.perf_counter() - begin
    begin = time.perf_counter()
    cache = preprocess_graphs(molecules(count, ends), folder / "stream.h5", n_jobs=jobs)
    seconds = time.perf_counter() - begin
    tenths = count / 10 / np.diff(ends) if len(ends) > 2 else np.array([count / seconds])
    return (
        f"| {count:,} | {seconds:,.1f} | {generating:,.1f} | {count / seconds:,.0f} "
        f"| {tenths.min():,.0f} to {tenths.max():,.0f} | {{memory:,.0f}} "
        f"| {cache.path.stat().st_size / 1e6:,.1f} |"
    )


def large_row(num_nodes: int, options: dict[str, Any], folder: Path, jobs: int) -> str:
    """One row of the second table."""
    graph = random_structures(num_nodes)
    begin = time.perf_counter()
    cache = preprocess_graphs(graph, folder / "large.h5", n_jobs=jobs, **options)
    seconds = time.perf_counter() - begin
    pairs = int(cache.histogram().sum())
    chosen = ", ".join(f"{name} {value}" for name, value in options.items()) or "all pairs"
    return (
        f"| {num_nodes:,} | {chosen} | {pairs:,} | {seconds:,.1f} | {{memory:,.0f}} "
        f"| {cache.path.stat().st_size / 1e6:,.1f} |"
    )


def _measured(row: Callable[..., str], arguments: tuple[Any, ...], answer: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        preprocess_graphs(next(molecules(100)), Path(folder) / "warm.h5", n_jobs=1)
        layout = {"layout": "sparse", "max_distance": 2}
        preprocess_graphs(random_structures(100), Path(folder) / "sparse.h5", n_jobs=1, **layout)
        before = peak_kib()
        text = row(*arguments[:-1], Path(folder), arguments[-1])
        answer.send(text.format(memory=(peak_kib() - before) / 1024))


def print_row(row: Callable[..., str], *arguments: Any) -> None:
    """Measure one row in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(row, arguments, sender))
    process.start()
    sender.close()
    click.echo(receiver.recv())
    process.join()


@click.command()
@click.option("--graphs", "counts", multiple=True, type=int, default=(10_000, 100_000, 1_000_000, 4_000_000))
@click.option("--nodes", "sizes", multiple=True, type=int, default=(5_000, 20_000, 50_000, 1_000_000))
@click.option("--jobs", type=int, default=1, show_default=True, help="Threads.")
def main(counts: tuple[int, ...], sizes: tuple[int, ...], jobs: int) -> None:
    """Print Markdown tables of time, memory and file size with sizes growing."""
    click.echo(f"\n## Graphs like molecules from a stream of unknown length, {jobs} thread(s)\n")
    click.echo(
        "| graphs | s | of it making the graphs | graphs/s | in each tenth | peak memory, MiB | file, MB |\n"
        "|---|---|---|---|---|---|---|"
    )
    for count in counts:
        print_row(stream_row, count, jobs)
    click.echo(f"\n## One random graph of mean degree 4, {jobs} thread(s)\n")
    click.echo("| nodes | kept | pairs | s | peak memory, MiB | file, MB |\n|---|---|---|---|---|---|")
    for num_nodes in sizes:
        if num_nodes <= 20_000:
            print_row(large_row, num_nodes, {}, jobs)
        if num_nodes <= 50_000:
            print_row(large_row, num_nodes, {"max_distance": 5}, jobs)
        print_row(large_row, num_nodes, {"layout": "sparse", "max_distance": 3}, jobs)


if __name__ == "__main__":
    main()
