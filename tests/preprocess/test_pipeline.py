import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap

import h5py
import networkx as nx
import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures, pipeline, preprocess_graphs, tasks
from gradformer_dgl.preprocess.laplacian import laplacian_eigenvectors
from gradformer_dgl.preprocess.part_store import PartStore
from gradformer_dgl.preprocess.random_walks import return_probabilities
from gradformer_dgl.preprocess.shortest_paths import DistanceOverflowError, packed_distances
from gradformer_dgl.support.errors import CacheError, ConfigError, GraphError
from gradformer_dgl.support.lock import exclusive


@pytest.fixture(scope="module")
def structures():
    return random_structures()


def random_structures(count=307):
    rng = np.random.default_rng(23)
    node_counts = rng.integers(0, 47, count)
    edge_counts = 2 * node_counts
    bound = np.repeat(np.maximum(node_counts, 1), edge_counts)
    return GraphStructures(node_counts, edge_counts, rng.integers(0, bound), rng.integers(0, bound))


@pytest.fixture
def small_parts(monkeypatch):
    """As many parts as a large data set would have."""
    monkeypatch.setattr(tasks, "PART_BYTES", 1 << 13)


def assert_holds(cache, structures, dtype=np.uint8):
    np.testing.assert_array_equal(cache.read(), packed_distances(structures, dtype)[0])
    cache.verify()
    cache.verify(structures)


@pytest.mark.parametrize("kept", [False, True])
def test_threads_make_the_same_file_as_one(structures, tmp_path, small_parts, monkeypatch, kept):
    if not kept:
        monkeypatch.setattr(pipeline, "MOST_PARTS_IN_MEMORY", 1000)
    options = {"encodings": ("rwse:5", "lappe:3")}
    one = preprocess_graphs(structures, tmp_path / "one.h5", n_jobs=1, **options)
    parts = preprocess_graphs(structures, tmp_path / "many.h5", n_jobs=3, **options)
    assert parts.path.read_bytes() == one.path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["many.h5", "one.h5"]
    assert_holds(parts, structures)
    np.testing.assert_array_equal(parts.encoding("rwse:5"), return_probabilities(structures, 5))
    np.testing.assert_array_equal(parts.encoding("lappe:3"), laplacian_eigenvectors(structures, 3))


def test_lists_data_sets_and_iterators(tmp_path):
    import dgl

    graphs = [dgl.rand_graph(7, 11), dgl.rand_graph(3, 0)]
    expected = preprocess_graphs(graphs, tmp_path / "list.h5").read()

    class DataSet(dgl.data.DGLDataset):
        def __init__(self):
            super().__init__("made here")

        def process(self):
            pass

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return graphs[index], index

    np.testing.assert_array_equal(preprocess_graphs(DataSet(), tmp_path / "set.h5").read(), expected)
    np.testing.assert_array_equal(preprocess_graphs(iter(graphs), tmp_path / "iterator.h5").read(), expected)


def test_second_call_does_nothing(structures, tmp_path, caplog):
    path = tmp_path / "new" / "folder" / "x.h5"
    with caplog.at_level(logging.INFO, "gradformer_dgl"):
        preprocess_graphs(structures, path, encodings=("rwse:5", "lappe:3"))
        before = path.stat()
        cache = preprocess_graphs(structures, path, encodings=("rwse:5",))
    assert f"{path} is current (307 graphs)" in caplog.text
    assert path.stat().st_ino == before.st_ino
    assert_holds(cache, structures)


@pytest.mark.parametrize(
    "options",
    [{"directed": True}, {"max_distance": 3}, {"encodings": ("rwse:2",)}, {"resume": False}],
)
def test_other_options_make_another_file(structures, tmp_path, options):
    path = tmp_path / "x.h5"
    preprocess_graphs(structures, path)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    cache = preprocess_graphs(structures, path, **options)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) != before
    cache.verify(structures)


def test_other_data_replaces_the_file(structures, tmp_path):
    preprocess_graphs(structures, tmp_path / "x.h5")
    assert_holds(preprocess_graphs(structures.slice(3, 307), tmp_path / "x.h5"), structures.slice(3, 307))
    rewired = GraphStructures(
        structures.node_counts, structures.edge_counts, structures.src, 0 * structures.dst
    )
    assert_holds(preprocess_graphs(rewired, tmp_path / "x.h5"), rewired)


@pytest.mark.parametrize("parts", [False, True])
def test_a_long_path_switches_the_file_to_16_bits(structures, tmp_path, monkeypatch, parts):
    if parts:
        monkeypatch.setattr(tasks, "PART_BYTES", 1 << 13)
    path = GraphStructures([300], [299], np.arange(299), np.arange(1, 300))
    mixed = GraphStructures.concatenate([structures, path])
    cache = preprocess_graphs(mixed, tmp_path / "x.h5", n_jobs=2)
    assert cache.dtype == np.uint16
    assert cache.longest_distance == 299
    assert_holds(cache, mixed, np.uint16)


def test_a_distance_beyond_16_bits_names_the_graph_and_the_way_out(structures, tmp_path, monkeypatch):
    def overflow(task):
        raise DistanceOverflowError("graph 5 has a shortest path longer than 65534 hops: pass max_distance")

    monkeypatch.setattr(pipeline, "compute_part", overflow)
    with pytest.raises(GraphError, match="graph 5 has a shortest path longer than 65534 hops"):
        preprocess_graphs(structures, tmp_path / "x.h5", n_jobs=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"graphs": []}, GraphError, "no graphs to preprocess"),
        ({"n_jobs": 0}, ConfigError, "n_jobs must be a number of workers"),
        ({"encodings": ("x:1",)}, ConfigError, "no encoding 'x:1'"),
        ({"max_distance": 0}, ConfigError, "max_distance must be a positive number of hops"),
        (
            {"graphs": [([], [], 2**31 - 1)]},
            GraphError,
            "graph 0 has 2,147,483,647 nodes: the distances .* GiB",
        ),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        preprocess_graphs(**{"graphs": [nx.path_graph(2)], "path": tmp_path / "x.h5", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_not_overwritten(tmp_path):
    path = tmp_path / "x.h5"
    path.write_text("precious")
    with pytest.raises(CacheError, match="is no HDF5 file, so no cache of distances: choose another path"):
        preprocess_graphs([nx.path_graph(2)], path)
    assert path.read_text() == "precious"
    with h5py.File(path, "w") as file:
        file["precious"] = 1
    for graphs, resume in (([nx.path_graph(2)], True), ([nx.path_graph(2)], False), (iter([]), True)):
        with pytest.raises(CacheError, match="is an HDF5 file, but no cache of distances"):
            preprocess_graphs(graphs, path, resume=resume)
    with pytest.raises(CacheError, match="is a folder: give the name of a file in it"):
        preprocess_graphs([nx.path_graph(2)], tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for special in (pipe, os.devnull):
        with pytest.raises(CacheError, match="is no file but a device or a pipe: choose another path"):
            preprocess_graphs([nx.path_graph(2)], special)
    assert pipe.is_fifo()


def test_broken_cache_is_replaced(structures, tmp_path, caplog):
    path = tmp_path / "x.h5"
    preprocess_graphs(structures, path)
    os.truncate(path, path.stat().st_size // 2)
    assert_holds(preprocess_graphs(structures, path), structures)
    assert "x.h5 is broken and will be replaced" in caplog.text
    os.truncate(path, 0)
    assert_holds(preprocess_graphs(structures, path), structures)


def test_a_new_file_keeps_what_the_old_one_had_of_the_same_graphs(structures, tmp_path, caplog):
    path = tmp_path / "x.h5"
    old = preprocess_graphs(structures, path, encodings=("rwse:5",), extra_distances=("resistance",))
    expected = old.encoding("rwse:5"), old.read_extra_distances("resistance")

    def assert_kept(cache, encodings):
        assert (cache.encodings, cache.extra_distances) == (encodings, ("resistance",))
        np.testing.assert_array_equal(cache.encoding("rwse:5"), expected[0])
        np.testing.assert_array_equal(cache.read_extra_distances("resistance"), expected[1])
        assert_holds(cache, structures)

    assert_kept(preprocess_graphs(structures, path, encodings="degree"), ("degree:2", "rwse:5"))
    assert_kept(preprocess_graphs(structures, path, resume=False), ("degree:2", "rwse:5"))
    # Broken where the header is sound.
    content = path.read_bytes()
    for name in ("distances", "fingerprints"):
        with h5py.File(path) as file:
            place = file[name].id.get_chunk_info(0).byte_offset
        path.write_bytes(content[: place + 9] + bytes([content[place + 9] ^ 1]) + content[place + 10 :])
        assert_kept(preprocess_graphs(structures, path), ("degree:2", "rwse:5"))
    assert "without its" not in caplog.text
    directed = preprocess_graphs(structures, path, directed=True)
    assert (directed.encodings, directed.extra_distances) == (("degree:2", "rwse:5"), ())
    assert f"{path} will be replaced by a file without its resistance" in caplog.text
    caplog.clear()
    sparse = preprocess_graphs(structures, path, layout="sparse", max_distance=2)
    assert sparse.encodings == ("degree:2", "rwse:5")
    assert preprocess_graphs(structures.slice(3, 9), path).encodings == ()
    preprocess_graphs(structures, path, encodings=("rwse:5",))
    assert caplog.text == ""
    assert preprocess_graphs(iter([structures]), path).encodings == ()
    assert f"{path} will be replaced by a file without its rwse:5" in caplog.text


def test_weighted_distances_are_kept_for_the_same_weights(tmp_path, caplog):
    def graphs(weight):
        return [nx.from_edgelist([(0, 1, {"weight": weight}), (1, 2, {"weight": 2.0})])]

    path = tmp_path / "x.h5"
    preprocess_graphs(graphs(0.5), path, extra_distances=("weighted",))
    kept = preprocess_graphs(graphs(0.5), path, encodings=("degree",))
    assert kept.extra_distance("weighted", 0).tolist() == [[0, 0.5, 2.5], [0.5, 0, 2], [2.5, 2, 0]]
    assert caplog.text == ""
    assert preprocess_graphs(graphs(1.5), path, encodings=("rwse:2",)).extra_distances == ()
    assert "will be replaced by a file without its weighted" in caplog.text


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ENOMEM])
@pytest.mark.parametrize("where", ["h5py.File", "gradformer_dgl.cache.stored_array.decode_chunk"])
def test_a_cache_that_cannot_be_read_for_a_moment_is_left_alone(
    structures, tmp_path, monkeypatch, number, where
):
    path = tmp_path / "x.h5"
    preprocess_graphs(structures, path, encodings=("rwse:5",))
    before = path.stat().st_ino, path.read_bytes()

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    for options in ({}, {"encodings": ("degree",)}, {"directed": True}):
        with monkeypatch.context() as patched:
            patched.setattr(where, fail)
            with pytest.raises(CacheError, match=f"{path} cannot be read: "):
                preprocess_graphs(structures, path, **options)
        assert (path.stat().st_ino, path.read_bytes()) == before


def test_progress_goes_to_stderr(structures, tmp_path, small_parts, capsys):
    preprocess_graphs(structures, tmp_path / "x.h5", progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "distances" in captured.err


def test_interrupted_run_continues_from_its_parts(structures, tmp_path, small_parts, monkeypatch, caplog):
    path = tmp_path / "x.h5"
    computed = []
    compute = pipeline.compute_part

    def until_the_fifth(task):
        if len(computed) == 5:
            raise KeyboardInterrupt
        computed.append(task.number)
        return compute(task)

    monkeypatch.setattr(pipeline, "compute_part", until_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        preprocess_graphs(structures, path, n_jobs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5.parts"]
    # One of them did not reach the disk.
    (tmp_path / "x.h5.parts" / "0000002.part").write_bytes(b"half")
    again = []
    monkeypatch.setattr(pipeline, "compute_part", lambda task: again.append(task.number) or compute(task))
    with caplog.at_level(logging.INFO, "gradformer_dgl"):
        cache = preprocess_graphs(structures, path, n_jobs=1)
    assert "continuing from the parts of an interrupted run" in caplog.text
    assert sorted({*again} & {*computed}) == [2]
    assert_holds(cache, structures)
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5"]


@pytest.mark.parametrize("change", ["data", "options", "resume"])
def test_parts_of_something_else_are_not_used(structures, tmp_path, small_parts, monkeypatch, change):
    path = tmp_path / "x.h5"
    save = PartStore.save

    def interrupt(store, part):
        save(store, part)
        if part.number == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartStore, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        preprocess_graphs(structures, path, n_jobs=1)
    monkeypatch.setattr(PartStore, "save", save)
    compute = pipeline.compute_part
    numbers = []
    monkeypatch.setattr(pipeline, "compute_part", lambda task: numbers.append(task.number) or compute(task))
    data = structures.slice(1, 307) if change == "data" else structures
    options = {"options": {"max_distance": 7}, "resume": {"resume": False}}.get(change, {})
    cache = preprocess_graphs(data, path, n_jobs=1, **options)
    assert numbers[0] == 0
    cache.verify(data)


def run_script(code, *arguments, **options):
    # The tests' folders hold no package: the installed one is imported.
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


SLOW_RUN = """
    import sys, time
    import numpy as np
    from gradformer_dgl.preprocess import GraphStructures, pipeline, preprocess_graphs, tasks
    tasks.PART_BYTES = 1 << 13
    compute = pipeline.compute_part
    def slow(task):
        part = compute(task)
        print(task.number, flush=True)
        time.sleep(0.02)
        return part
    pipeline.compute_part = slow
    structures = GraphStructures(*np.load(sys.argv[1]).values())
    preprocess_graphs(structures, sys.argv[2], n_jobs=1)
"""


@pytest.fixture
def saved(structures, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "structures.npz"
    np.savez(path, structures.node_counts, structures.edge_counts, structures.src, structures.dst)
    return path


def test_killed_run_continues_and_a_second_run_waits_its_turn(
    structures, saved, tmp_path, small_parts, monkeypatch
):
    path = tmp_path / "x.h5"
    with run_script(SLOW_RUN, saved, path) as process:
        for _ in range(5):
            assert process.stdout.readline()
        with pytest.raises(CacheError, match=f"is being written by process {process.pid} on .*: wait until"):
            preprocess_graphs(structures, path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    compute = pipeline.compute_part
    again = []
    monkeypatch.setattr(pipeline, "compute_part", lambda task: again.append(task.number) or compute(task))
    cache = preprocess_graphs(structures, path, n_jobs=1)
    assert min(again) >= 4
    assert_holds(cache, structures)
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5"]


FULL_DISK = """
    import resource, sys
    import numpy as np
    from gradformer_dgl.support.errors import CacheError
    from gradformer_dgl.preprocess import GraphStructures, pipeline, preprocess_graphs, tasks
    tasks.PART_BYTES = int(sys.argv[4])
    structures = GraphStructures(*np.load(sys.argv[1]).values())
    preprocess_graphs(structures.slice(0, 5), sys.argv[2] + ".warm")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
    try:
        preprocess_graphs(structures, sys.argv[2], n_jobs=2)
    except CacheError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("limit", "part_bytes"), [(1 << 10, 1 << 22), (1 << 16, 1 << 22), (1 << 11, 1 << 13), (1 << 16, 1 << 13)]
)
def test_full_disk_is_one_line_and_leaves_the_old_file(structures, saved, tmp_path, limit, part_bytes):
    path = tmp_path / "x.h5"
    preprocess_graphs(structures.slice(0, 200), path)
    before = path.read_bytes()
    with run_script(FULL_DISK, saved, path, limit, part_bytes) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert err == ""
    assert out.startswith(f"cannot write {path}")
    assert out.endswith("free some space or choose another folder, then run it again\n")
    assert out.count("\n") == 1
    assert path.read_bytes() == before
    assert not (tmp_path / "x.h5.tmp").exists()


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"cannot write .*x\.h5: .*; choose a folder that you may write to"):
        preprocess_graphs([nx.path_graph(2)], tmp_path / "file" / "x.h5")


def test_lock_of_a_dead_process_is_taken_over(tmp_path):
    target = tmp_path / "x.h5"
    (tmp_path / "x.h5.lock").write_text("process 1 on elsewhere")
    with exclusive(target):
        assert f"process {os.getpid()} on " in (tmp_path / "x.h5.lock").read_text()
        with (
            pytest.raises(CacheError, match=f"is being written by process {os.getpid()} on "),
            exclusive(target),
        ):
            pass
    assert list(tmp_path.iterdir()) == []
