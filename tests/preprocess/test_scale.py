"""Large graphs, long streams of graphs, and runs that are killed."""

import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs, tasks
from gradformer_dgl.preprocess.shortest_paths import packed_distances
from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs
from gradformer_dgl.support.errors import ConfigError, GraphError


def random_pieces(count, graphs=64, seed=0):
    """Structures of many molecule-size graphs, some at a time."""
    for piece in range(count):
        rng = np.random.default_rng([seed, piece])
        node_counts = rng.integers(0, 40, graphs)
        bound = np.repeat(np.maximum(node_counts, 1), 2 * node_counts)
        yield GraphStructures(node_counts, 2 * node_counts, rng.integers(0, bound), rng.integers(0, bound))


def large_and_small():
    """A random graph, a long path and a star between small graphs."""
    rng = np.random.default_rng(3)
    random_ends = rng.integers(0, 700, (2, 1300))
    path = np.arange(599), np.arange(1, 600)
    star = np.zeros(999, np.int64), np.arange(1, 1000)
    small = list(random_pieces(2, 5))
    return [
        small[0],
        GraphStructures([700], [1300], *random_ends),
        GraphStructures([600], [599], *path),
        small[1],
        GraphStructures([1000], [999], *star),
    ]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tasks, "PART_BYTES", 1 << 13)
    monkeypatch.setattr(tasks, "BLOCK_BYTES", 1 << 15)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("directed", [False, True])
def test_rows_of_large_graphs_make_the_same_cache(tmp_path, monkeypatch, n_jobs, directed):
    options = {"directed": directed, "encodings": ("rwse:3",)}
    graphs = large_and_small()
    whole = preprocess_graphs(graphs, tmp_path / "whole.h5", n_jobs=1, **options)
    monkeypatch.setattr(tasks, "PART_BYTES", 1 << 13)
    monkeypatch.setattr(tasks, "BLOCK_BYTES", 1 << 15)
    rows = preprocess_graphs(iter(graphs), tmp_path / "rows.h5", n_jobs=n_jobs, **options)
    assert rows.path.stat().st_size == whole.path.stat().st_size
    np.testing.assert_array_equal(rows.encoding("rwse:3"), whole.encoding("rwse:3"))
    np.testing.assert_array_equal(rows.histogram(), whole.histogram())
    rows.verify()
    rows.verify(GraphStructures.concatenate(graphs))
    expected, _, _ = packed_distances(GraphStructures.concatenate(graphs), np.uint16, directed)
    np.testing.assert_array_equal(rows.read(), expected)


@pytest.mark.parametrize("max_distance", [1, 3, 300])
def test_sparse_layout(tmp_path, small_blocks, max_distance):
    graphs = large_and_small()
    options = {"layout": "sparse", "max_distance": max_distance}
    cache = preprocess_graphs(graphs, tmp_path / "x.h5", n_jobs=2, **options)
    structures = GraphStructures.concatenate(graphs)
    counts, nodes, distances, _, histogram = packed_sparse_pairs(structures, np.uint16, False, max_distance)
    near = [cache.neighborhood(graph) for graph in range(len(cache))]
    np.testing.assert_array_equal(np.concatenate([np.diff(part.indptr) for part in near]), counts)
    np.testing.assert_array_equal(np.concatenate([part.indices for part in near]), nodes)
    np.testing.assert_array_equal(np.concatenate([part.distances for part in near]), distances)
    np.testing.assert_array_equal(cache.histogram(), histogram)
    cache.verify()
    cache.verify(structures)
    before = cache.path.stat().st_ino
    assert preprocess_graphs(graphs, cache.path, **options).path.stat().st_ino == before


def test_sparse_layout_of_a_grid_agrees_with_networkx(tmp_path):
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(30, 40))
    cache = preprocess_graphs([graph], tmp_path / "x.h5", layout="sparse", max_distance=4)
    near = cache.neighborhood(0)
    for node, reached in nx.all_pairs_shortest_path_length(graph, cutoff=4):
        row = slice(near.indptr[node], near.indptr[node + 1])
        found = dict(zip(near.indices[row].tolist(), near.distances[row].tolist(), strict=True))
        assert found == reached


def test_a_stream_makes_the_same_file_as_a_list(tmp_path, small_blocks):
    listed = preprocess_graphs(list(random_pieces(30)), tmp_path / "list.h5", n_jobs=1)
    streamed = preprocess_graphs(random_pieces(30), tmp_path / "stream.h5", n_jobs=1)
    together = GraphStructures.concatenate(random_pieces(30))
    at_once = preprocess_graphs(together, tmp_path / "once.h5", n_jobs=2)
    assert len(listed) == 30 * 64
    assert listed.path.read_bytes() == streamed.path.read_bytes() == at_once.path.read_bytes()


def test_a_stream_of_graphs_continues_where_it_was_interrupted(tmp_path, small_blocks):
    def interrupted():
        yield from random_pieces(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess_graphs(interrupted(), tmp_path / "x.h5", n_jobs=1)
    kept = {file.name: file.stat().st_ino for file in (tmp_path / "x.h5.parts").glob("*.part")}
    assert len(kept) > 10
    seen = {}

    def watched():
        for piece in random_pieces(30):
            yield piece
            for file in (tmp_path / "x.h5.parts").glob("*.part"):
                seen[file.name] = file.stat().st_ino

    cache = preprocess_graphs(watched(), tmp_path / "x.h5", n_jobs=1)
    assert {name: seen[name] for name in kept} == kept
    whole = preprocess_graphs(random_pieces(30), tmp_path / "whole.h5", n_jobs=1)
    assert cache.path.read_bytes() == whole.path.read_bytes()


def test_memory_does_not_grow_with_the_number_of_graphs(tmp_path, small_blocks):
    def peak(pieces):
        tracemalloc.start()
        preprocess_graphs(random_pieces(pieces), tmp_path / f"{pieces}.h5", n_jobs=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(20)
    few, many = peak(40), peak(160)
    # What opening the cache takes of each graph: its count, and where its nodes and pairs begin.
    for_opening = 64 * (160 - 40) * 64
    in_files = [(tmp_path / f"{pieces}.h5").stat().st_size for pieces in (40, 160)]
    assert many - few < for_opening < in_files[1] - in_files[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layout": "csr"}, ConfigError, "no layout 'csr': there are dense and sparse"),
        ({"layout": "sparse"}, ConfigError, "holds the pairs within max_distance: give it"),
        (
            {"layout": "sparse", "max_distance": 2, "extra_distances": ("resistance",)},
            ConfigError,
            "they go with the dense layout only",
        ),
        (
            {"directed": True, "extra_distances": ("resistance",)},
            ConfigError,
            "resistance is a distance of undirected graphs: leave out directed",
        ),
        ({"extra_distances": ("hamming",)}, ConfigError, "no extra distance 'hamming': there are"),
        (
            {"graphs": [GraphStructures([10**6], [0], [], [])]},
            GraphError,
            r"graph 0 has 1,000,000 nodes: the distances of all its pairs take about 931 GiB, .*"
            r"layout=\"sparse\", max_distance=3 \(--layout sparse --max-distance 3\)",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        preprocess_graphs(**{"graphs": [nx.path_graph(3)], "path": tmp_path / "x.h5", **options})
    assert list(tmp_path.iterdir()) == []


def run_until_killed(path):
    preprocess_graphs(random_pieces(40), path, n_jobs=1)


def test_killed_at_a_hundred_moments(tmp_path, small_blocks):
    """Whatever the moment, the target is the old file or the whole new one, and the next run goes on."""
    # Forked, so that a hundred children start at once with the kernels compiled.
    context = multiprocessing.get_context("fork")
    old = preprocess_graphs(random_pieces(3, seed=1), tmp_path / "x.h5").path.read_bytes()
    begin = time.perf_counter()
    new = preprocess_graphs(random_pieces(40), tmp_path / "new.h5", n_jobs=1).path.read_bytes()
    seconds = time.perf_counter() - begin
    target = tmp_path / "x.h5"
    moments = random.Random(0)
    killed = finished = 0
    while killed < 100:
        process = context.Process(target=run_until_killed, args=(target,))
        process.start()
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.join()
        assert target.read_bytes() in (old, new)
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        if target.read_bytes() == new:
            finished += 1
            target.write_bytes(old)
    run_until_killed(target)
    assert target.read_bytes() == new
    assert finished, "no run has ever got to its end: the parts of the killed ones are not used"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.h5", "x.h5"]


ON_A_SMALL_DISK = """
import sys
sys.path[:0] = [{tests!r}]
from test_scale import random_pieces
from gradformer_dgl.support.errors import CacheError
from gradformer_dgl.preprocess import preprocess_graphs, tasks
tasks.PART_BYTES = {part_bytes}
target = {folder!r} + "/x.h5"
old = preprocess_graphs(random_pieces(2), target).path.read_bytes()
try:
    preprocess_graphs(random_pieces(300), target, n_jobs=2)
except CacheError as error:
    print(error)
assert open(target, "rb").read() == old
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
@pytest.mark.parametrize("part_bytes", [1 << 22, 1 << 13])
def test_a_disk_that_is_full(tmp_path, part_bytes):
    """On a file system of its own: the old file stays, and there is one clear error."""
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mounted = f"mount -t tmpfs -o size=512k tmpfs {tmp_path}"
    if subprocess.run([*mount, mounted], capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a small disk")
    code = ON_A_SMALL_DISK.format(
        tests=str(Path(__file__).parent), folder=str(tmp_path), part_bytes=part_bytes
    )
    script = tmp_path.with_suffix(".py")
    script.write_text(code)
    ran = subprocess.run(
        [*mount, f"{mounted} && {sys.executable} {script}"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"cannot write {tmp_path}")
    assert ran.stdout.endswith("free some space or choose another folder, then run it again\n")
    assert ran.stdout.count("\n") == 1


def test_missing_weights_are_asked_for(tmp_path):
    with pytest.raises(GraphError, match="graph 0 has an edge without the attribute 'weight'"):
        preprocess_graphs([nx.path_graph(3)], tmp_path / "x.h5", extra_distances=("weighted",))
    assert list(tmp_path.iterdir()) == []
