"""Preprocessing on two threads beside one, and beside what the machine gives to two processes.

Packed graphs to a finished file, compressed and checksummed. The last column is the same work done by two
processes at once, each all of it, over one of them alone: the ratio that threads which never wait for each
other would reach here. Best of several repetitions, taken in turns.

    python benchmarks/threads.py --data-root DIR
"""

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.data import load_dataset
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs

SETS = (("NCI1", 40), ("ZINC", 20), ("COLLAB", 1), ("NCI1", 1), ("ZINC", 1))
"""Names of data sets, and how many times over each is taken."""


def read_structures(name: str, copies: int, data_root: str) -> GraphStructures:
    """The graphs of a data set, several times over."""
    return GraphStructures.concatenate([load_dataset(name, data_root).graphs.structures()] * copies)


def seconds_to_file(structures: GraphStructures, path: Path, threads: int) -> float:
    """Time to preprocess graphs into a file that is not there yet."""
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    preprocess_graphs(structures, path, n_jobs=threads, resume=False)
    return time.perf_counter() - start


def work(name: str, copies: int, data_root: str, path: Path, turns: Any, times: Any) -> None:
    """A process: preprocess with one thread, whenever it is told to."""
    structures = read_structures(name, copies, data_root)
    seconds_to_file(structures, path, 1)
    times.put(0.0)
    while turns.get():
        times.put(seconds_to_file(structures, path, 1))


def measure(
    name: str, copies: int, data_root: str, folder: Path, repetitions: int
) -> tuple[int, dict[str, float]]:
    """Number of graphs, and the least seconds of one thread, of two, and of two processes at once."""
    structures = read_structures(name, copies, data_root)
    context = multiprocessing.get_context("spawn")
    times = context.Queue()
    turns = [context.Queue() for _ in range(2)]
    processes = [
        context.Process(target=work, args=(name, copies, data_root, folder / f"{i}.h5", turns[i], times))
        for i in range(2)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        times.get()
    best: dict[str, float] = {}
    for _ in range(repetitions):
        found = {
            "one": seconds_to_file(structures, folder / "own.h5", 1),
            "two": seconds_to_file(structures, folder / "own.h5", 2),
        }
        for turn in turns:
            turn.put(True)
        found["processes"] = max(times.get() for _ in processes)
        best = {key: min(value, best.get(key, value)) for key, value in found.items()}
    for turn, process in zip(turns, processes, strict=True):
        turn.put(False)
        process.join()
    return len(structures), best


@click.command(help=__doc__)
@click.option("--data-root", type=click.Path(exists=True, file_okay=False), required=True)
@click.option("--repetitions", type=click.IntRange(min=1), default=6, show_default=True)
def main(data_root: str, repetitions: int) -> None:
    click.echo("| graphs | one thread, s | two threads, s | ratio | two processes |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, copies in SETS:
            # What takes some hundredths of a second is measured more often.
            number, best = measure(
                name, copies, data_root, Path(folder), repetitions * (3 if copies == 1 else 1)
            )
            title = f"{name}, {copies} times" if copies > 1 else name
            click.echo(
                f"| {title} ({number:,}) | {best['one']:.3f} | {best['two']:.3f} "
                f"| {best['one'] / best['two']:.2f} | {2 * best['one'] / best['processes']:.2f} |"
            )


if __name__ == "__main__":
    main()
