"""Speed of computing distances, and of turning DGL graphs in memory into a finished file.

Every row is timed in this one run on one thread (the best of several passes); ratios are ours to the peer's.
Peers that are not installed are left out, and so are those that would take longer than a minute for one pass.
Every peer gets simple graphs ready in the form that it likes best, ours the edges as they are listed.
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
from typing import Any, NamedTuple

import click
import numpy as np

from gradformer_dgl.data import load_dataset
from gradformer_dgl.jit.compile import jit
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.preprocess.shortest_paths import DistanceOverflowError, packed_distances

# Peers are timed on so many graphs at most: their cost per graph does not depend on the number.
MOST_GRAPHS = 500
MOST_SECONDS = 60.0
# A contender is timed again until its passes add up to so much.
ENOUGH_SECONDS = 5.0

Edges = tuple[np.ndarray, np.ndarray, int]


def edges_of(structures: GraphStructures, count: int) -> list[Edges]:
    """Graphs from all over the data set, whose order may go with size; one triple (src, dst, nodes) each.

    Every edge once, from its lower end to its upper one.
    """
    chosen = np.linspace(0, len(structures), min(count, len(structures)), endpoint=False, dtype=int)
    graphs = []
    for index in chosen.tolist():
        part = structures.slice(index, index + 1)
        ends = np.sort([part.src, part.dst], axis=0).astype(np.int64)
        src, dst = np.unique(ends[:, ends[0] != ends[1]], axis=1)
        graphs.append((src, dst, int(part.node_counts[0])))
    return graphs


def ours(structures: GraphStructures) -> None:
    """Distances of all graphs in one call."""
    try:
        packed_distances(structures, np.uint8)
    except DistanceOverflowError:
        packed_distances(structures, np.uint16)


def scipy_matrices(graphs: list[Edges]) -> list[Any]:
    """Symmetric adjacency matrices, which it need not transpose."""
    from scipy.sparse import csr_array

    return [
        csr_array(
            (np.ones(2 * len(src)), (np.concatenate([src, dst]), np.concatenate([dst, src]))),
            shape=(num_nodes, num_nodes),
        )
        for src, dst, num_nodes in graphs
    ]


def scipy_distances(matrix: Any) -> None:
    """Unweighted shortest paths by the better of its two methods."""
    from scipy.sparse.csgraph import shortest_path

    shortest_path(matrix, method="FW" if matrix.shape[0] <= 500 else "D", unweighted=True)


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
        for tail, head in zip(src.tolist(), dst.tolist(), strict=True):
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


def dgl_both_ways(graphs: list[Edges]) -> list[Any]:
    """DGL graphs with every edge both ways."""
    import dgl
    import torch

    return [
        dgl.to_bidirected(dgl.graph((torch.from_numpy(src), torch.from_numpy(dst)), num_nodes=num_nodes))
        for src, dst, num_nodes in graphs
    ]


def dgl_distances(graph: Any) -> None:
    """One integer tensor, -1 where there is no path."""
    import dgl

    dgl.shortest_dist(graph, root=None)


def dense_matrices(graphs: list[Edges]) -> list[np.ndarray]:
    """Matrices of 0, 1 and a number beyond any distance, as Graphormer makes them of its graphs."""
    made = []
    for src, dst, num_nodes in graphs:
        matrix = np.full((num_nodes, num_nodes), 510, np.int64)
        matrix[src, dst] = matrix[dst, src] = 1
        np.fill_diagonal(matrix, 0)
        made.append(matrix)
    return made


@jit
def floyd_warshall(matrix: np.ndarray) -> np.ndarray:
    """Shorten the way between all pairs by one node after the other."""
    lengths = matrix.copy()
    for between in range(len(lengths)):
        for source in range(len(lengths)):
            first = lengths[source, between]
            for target in range(len(lengths)):
                length = first + lengths[between, target]
                if length < lengths[source, target]:
                    lengths[source, target] = length
    return lengths


class Peer(NamedTuple):
    """Another library: what must be installed, how it likes its graphs, what is timed of it."""

    module: str
    prepare: Callable[[list[Edges]], list[Any]]
    distances: Callable[[Any], Any]
    # Its time grows with this power of the number of nodes, on sparse graphs.
    power: int = 2


PEERS = {
    "networkit": Peer("networkit", networkit_graphs, networkit_distances),
    "igraph": Peer("igraph", igraph_graphs, igraph_distances),
    "scipy": Peer("scipy", scipy_matrices, scipy_distances),
    "dgl.shortest_dist": Peer("dgl", dgl_both_ways, dgl_distances),
    "networkx": Peer("networkx", networkx_graphs, networkx_distances),
    "Floyd-Warshall, numba": Peer("numba", dense_matrices, floyd_warshall, power=3),
}


def best_seconds(work: Callable[[], Any], passes: int = 10) -> float:
    """The shortest of several passes; fewer where they take long."""
    times: list[float] = []
    while len(times) < passes and sum(times) < ENOUGH_SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def structures_of(name: str, data_root: Path) -> GraphStructures:
    """A benchmark data set through the package's reader."""
    return load_dataset(name, data_root).graphs.structures()


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
    """Many graphs each."""
    for name in ("NCI1", "ZINC12k", "COLLAB"):
        if (data_root / name).is_dir():
            yield name, structures_of(name, data_root)
    yield "SBM-120", sbm_structures()


def single_graphs(data_root: Path) -> Iterator[tuple[str, GraphStructures]]:
    """One graph each, of growing size."""
    for num_nodes in (1000, 2000, 5000, 10000):
        yield f"random {num_nodes:,}", random_structures(num_nodes)


def grid(height: int, width: int) -> Edges:
    """Neighbours on a grid; of one row a path, of two a ladder."""
    number = np.arange(height * width).reshape(height, width)
    src = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    return src, np.concatenate([number[:, 1:].ravel(), number[1:].ravel()]), height * width


def disordered(graph: Edges) -> Edges:
    """The same graph with its nodes in any order."""
    order = np.random.default_rng(0).permutation(graph[2])
    return order[graph[0]], order[graph[1]], graph[2]


def long_graphs(data_root: Path) -> Iterator[tuple[str, GraphStructures]]:
    """Graphs of long ways: along a path no two sources reach a node in the same level."""
    ring, path = np.arange(5000), grid(1, 5000)
    graphs = {
        "path 100": [grid(1, 100)] * 100,
        "path 5,000": [path],
        "path 5,000, in disorder": [disordered(path)],
        "ring 5,000": [(ring, (ring + 1) % 5000, 5000)],
        "ladder 2 x 2,500": [grid(2, 2500)],
        "grid 70 x 70": [grid(70, 70)],
        "grid 70 x 70, in disorder": [disordered(grid(70, 70))],
    }
    for name, edges in graphs.items():
        yield name, GraphStructures.from_graphs(edges)


def distances_table(sets: Iterator[tuple[str, GraphStructures]]) -> None:
    """Distances alone, graphs per second."""
    peers = {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer.module)}
    for peer in peers.values():
        # Imports and compilation are not timed.
        peer.distances(*peer.prepare([(np.array([0]), np.array([1]), 2)]))
    click.echo("| graphs | ours | " + " | ".join(peers) + " |")
    click.echo("|---" * (len(peers) + 2) + "|")
    # Seconds that a graph takes, divided by the power of its nodes.
    unit_costs = dict.fromkeys(peers, 0.0)
    for name, structures in sets:
        rate = len(structures) / best_seconds(lambda s=structures: ours(s))
        cells = [f"{rate:,.1f}"]
        graphs = edges_of(structures, MOST_GRAPHS)
        for label, peer in peers.items():
            size = float(sum(num_nodes**peer.power for _, _, num_nodes in graphs))
            if unit_costs[label] * size > MOST_SECONDS:
                cells.append("left out")
                continue
            made = peer.prepare(graphs)
            seconds = best_seconds(lambda work=peer.distances, made=made: [work(graph) for graph in made])
            unit_costs[label] = seconds / size
            cells.append(f"{len(made) / seconds:,.2f} ({rate * seconds / len(made):,.1f} x)")
        click.echo(f"| {name} | " + " | ".join(cells) + " |")


def sets_table(data_root: Path) -> None:
    """Distances of the data sets."""
    click.echo("\n## Distances alone, one thread, graphs per second (ours : peer)\n")
    distances_table(data_sets(data_root))


def single_table(data_root: Path) -> None:
    """Distances of single graphs."""
    click.echo("\n## Distances of one random graph, mean degree 4, graphs per second (ours : peer)\n")
    distances_table(single_graphs(data_root))


def long_table(data_root: Path) -> None:
    """Distances of graphs of long ways."""
    click.echo("\n## Distances in paths, rings and grids, one thread, graphs per second (ours : peer)\n")
    distances_table(long_graphs(data_root))


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
        structures = structures_of(name, data_root)
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


TABLES = {"sets": sets_table, "single": single_table, "long": long_table, "file": file_table}


@click.command()
@click.option("--data-root", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option(
    "--only", type=click.Choice(list(TABLES)), multiple=True, help="Tables; all of them by default."
)
def main(data_root: Path, only: tuple[str, ...]) -> None:
    """Print Markdown tables of preprocessing speed beside other libraries."""
    for name in only or TABLES:
        TABLES[name](data_root)


if __name__ == "__main__":
    main()
