"""How fast distances are computed, and how fast DGL graphs in memory become a finished file.

Every row is timed in this one run on one thread (the best of several passes); ratios are ours to the peer's.
Peers that are not installed are left out.
"""

# ruff: noqa: E402 - the number of threads must be set before the libraries are loaded

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("DGLBACKEND", "pytorch")

import importlib.util
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.preprocess.shortest_paths import DistanceOverflowError, packed_distances

# Peers are timed on so many graphs at most: their cost per graph does not depend on the number.
MOST_GRAPHS = 500
LEAST_SECONDS = 0.5

Edges = tuple[np.ndarray, np.ndarray, int]


def edges_of(structures: GraphStructures, count: int) -> list[Edges]:
    """Graphs from all over the data set, whose order may go with size; one triple (src, dst, nodes) each."""
    chosen = np.linspace(0, len(structures), min(count, len(structures)), endpoint=False, dtype=int)
    parts = (structures.slice(index, index + 1) for index in chosen.tolist())
    return [
        (part.src.astype(np.int64), part.dst.astype(np.int64), int(part.node_counts[0])) for part in parts
    ]


def ours(structures: GraphStructures) -> None:
    """Distances of all graphs in one call."""
    try:
        packed_distances(structures, np.uint8)
    except DistanceOverflowError:
        packed_distances(structures, np.uint16)


def scipy_matrices(graphs: list[Edges]) -> list[Any]:
    """Adjacency matrices; making them is not timed."""
    from scipy.sparse import csr_array

    return [
        csr_array((np.ones(len(src)), (src, dst)), shape=(num_nodes, num_nodes))
        for src, dst, num_nodes in graphs
    ]


def scipy_distances(matrix: Any) -> None:
    """Unweighted shortest paths by SciPy's own choice of method."""
    from scipy.sparse.csgraph import shortest_path

    shortest_path(matrix, directed=False, unweighted=True)


def networkx_graphs(graphs: list[Edges]) -> list[Any]:
    """Undirected networkx graphs."""
    import networkx

    made = []
    for src, dst, num_nodes in graphs:
        graph = networkx.empty_graph(num_nodes)
        graph.add_edges_from(zip(src.tolist(), dst.tolist(), strict=True))
        made.append(graph)
    return made


def networkx_distances(graph: Any) -> None:
    """One dictionary of lengths per source."""
    import networkx

    dict(networkx.all_pairs_shortest_path_length(graph))


def networkit_graphs(graphs: list[Edges]) -> list[Any]:
    """Undirected networkit graphs."""
    import networkit

    networkit.setNumberOfThreads(1)
    made = []
    for src, dst, num_nodes in graphs:
        graph = networkit.Graph(num_nodes)
        for tail, head in sorted(
            {(min(pair), max(pair)) for pair in zip(src.tolist(), dst.tolist(), strict=True)}
        ):
            if tail != head:
                graph.addEdge(tail, head)
        made.append(graph)
    return made


def networkit_distances(graph: Any) -> None:
    """All pairs of one graph, as networkit's own matrix."""
    import networkit

    networkit.distance.APSP(graph).run().getDistances(asarray=True)


def igraph_graphs(graphs: list[Edges]) -> list[Any]:
    """Undirected igraph graphs."""
    import igraph

    return [
        igraph.Graph(n=num_nodes, edges=np.stack([src, dst], axis=1).tolist())
        for src, dst, num_nodes in graphs
    ]


def igraph_distances(graph: Any) -> None:
    """All pairs of one graph, as lists."""
    graph.distances()


PEERS: dict[str, tuple[str, Callable[[list[Edges]], list[Any]], Callable[[Any], None]]] = {
    "scipy": ("scipy", scipy_matrices, scipy_distances),
    "networkx": ("networkx", networkx_graphs, networkx_distances),
    "networkit": ("networkit", networkit_graphs, networkit_distances),
    "igraph": ("igraph", igraph_graphs, igraph_distances),
}


def best_seconds(work: Callable[[], Any], passes: int = 5) -> float:
    """The shortest of several passes; fewer where they take long."""
    times = []
    while len(times) < passes and sum(times) < 10 * LEAST_SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def tu_structures(folder: Path, name: str) -> GraphStructures:
    """A TU data set through the package's reader."""
    from gradformer_dgl.data import load_dataset

    return load_dataset(name, folder).graphs.structures()


def sbm_structures(count: int = 300, num_nodes: int = 120) -> GraphStructures:
    """Stochastic block model graphs: five blocks, probabilities 0.5 within and 0.2 between."""
    rng = np.random.default_rng(0)
    graphs = []
    for _ in range(count):
        block = rng.integers(0, 5, num_nodes)
        probability = np.where(block[:, None] == block, 0.5, 0.2)
        src, dst = np.triu(rng.random((num_nodes, num_nodes)) < probability, 1).nonzero()
        graphs.append((np.concatenate([src, dst]), np.concatenate([dst, src]), num_nodes))
    return GraphStructures.from_graphs(graphs)


def random_structures(num_nodes: int) -> GraphStructures:
    """One random graph with mean degree 4."""
    ends = np.random.default_rng(num_nodes).integers(0, num_nodes, (2, 2 * num_nodes))
    return GraphStructures([num_nodes], [2 * num_nodes], ends[0], ends[1])


def data_sets(data_root: Path) -> Iterator[tuple[str, GraphStructures]]:
    """The sets of the first table."""
    for name in ("NCI1", "ZINC12k"):
        if (data_root / name).is_dir():
            yield name, tu_structures(data_root, name)
    yield "SBM-120", sbm_structures()
    for num_nodes in (500, 1000, 2000, 5000):
        yield f"random {num_nodes:,}", random_structures(num_nodes)


def distances_table(data_root: Path) -> None:
    """Distances alone, graphs per second."""
    peers = {name: rest for name, (module, *rest) in PEERS.items() if importlib.util.find_spec(module)}
    click.echo("\n## Distances alone, one thread, graphs per second (ours : peer)\n")
    click.echo("| graphs | ours | " + " | ".join(peers) + " |")
    click.echo("|---" * (len(peers) + 2) + "|")
    for name, structures in data_sets(data_root):
        ours(structures)
        rate = len(structures) / best_seconds(lambda s=structures: ours(s))
        cells = [f"{rate:,.0f}"]
        for prepare, work in peers.values():
            if int(structures.node_counts.max()) > 2000 and work is networkx_distances:
                cells.append("left out")
                continue
            made = prepare(edges_of(structures, MOST_GRAPHS))
            peer = len(made) / best_seconds(lambda w=work, m=made: [w(graph) for graph in m], 3)
            cells.append(f"{peer:,.1f} ({rate / peer:,.1f} x)")
        click.echo(f"| {name} | " + " | ".join(cells) + " |")


def dgl_graphs(structures: GraphStructures) -> list[Any]:
    """One DGLGraph per graph."""
    import dgl
    import torch

    return [
        dgl.graph((torch.from_numpy(src), torch.from_numpy(dst)), num_nodes=num_nodes)
        for src, dst, num_nodes in edges_of(structures, len(structures))
    ]


def file_by_package(graphs: list[Any], folder: Path) -> Path:
    """DGL graphs to a finished, compressed, check-summed file."""
    path = folder / "ours.h5"
    preprocess_graphs(graphs, path, n_jobs=1, resume=False)
    return path


def file_by_scipy(graphs: list[Any], folder: Path) -> Path:
    """DGL graphs to a pickle of one small-integer matrix per graph."""
    from scipy.sparse.csgraph import shortest_path

    matrices = []
    for graph in graphs:
        distances = shortest_path(graph.adj_external(scipy_fmt="csr"), directed=False, unweighted=True)
        matrices.append(np.where(np.isinf(distances), 255, distances).astype(np.uint8))
    path = folder / "scipy.pickle"
    with path.open("wb") as file:
        pickle.dump(matrices, file)
        file.flush()
        os.fsync(file.fileno())
    return path


def peak_kib(reset: bool = False) -> int:
    """Peak resident memory of this process since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1])


def measure_file(structures: GraphStructures, by: Callable[..., Path], answer: Any) -> None:
    """In a process of its own: seconds, growth of peak memory, size of the file."""
    with tempfile.TemporaryDirectory() as folder:
        graphs = dgl_graphs(structures)
        by(graphs[:50], Path(folder))
        before = peak_kib(reset=True)
        path = by(graphs, Path(folder))
        grown = peak_kib() - before
        seconds = best_seconds(lambda: by(graphs, Path(folder)))
        answer.send((seconds, grown / 1024, path.stat().st_size / 1e6))


def file_table(data_root: Path) -> None:
    """DGL graphs in memory to a finished file."""
    click.echo("\n## DGL graphs in memory to a finished file, one thread\n")
    click.echo("| graphs | by | graphs/s | ratio | peak memory, MiB | file, MB |\n|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for name in ("NCI1", "ZINC12k"):
        if not (data_root / name).is_dir():
            continue
        structures = tu_structures(data_root, name)
        rates = []
        for label, by in (("this package", file_by_package), ("scipy, pickle", file_by_scipy)):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=measure_file, args=(structures, by, sender))
            process.start()
            # Ours alone is left open in the child, so that its death ends the wait.
            sender.close()
            seconds, memory, size = receiver.recv()
            process.join()
            rates.append(len(structures) / seconds)
            click.echo(
                f"| {name} | {label} | {rates[-1]:,.0f} | {rates[0] / rates[-1]:.1f} x "
                f"| {memory:,.0f} | {size:.2f} |"
            )


@click.command()
@click.option("--data-root", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
def main(data_root: Path) -> None:
    """Print Markdown tables of preprocessing speed beside scipy, networkx, networkit and igraph."""
    distances_table(data_root)
    file_table(data_root)


if __name__ == "__main__":
    main()
