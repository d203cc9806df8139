import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from files import break_chunk, change_attributes, hops, random_graphs, replace_array, write_cache

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.support.errors import CacheError

SIZES = (7, 0, 19, 1, 23, 5, 11, 0, 13)
# Permissions do not bind root unless it gives up its capabilities.
AS_ANYONE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def write(path, layout, seed=0, **options):
    """Write a small file with everything in it that its layout can hold."""
    matrices = [hops(graph, max_distance=5) for graph in random_graphs(SIZES, seed)]
    nodes, pairs = sum(SIZES), sum(size**2 for size in SIZES)
    rng = np.random.default_rng(seed)
    options = {
        "encodings": {"rwse:3": rng.random((nodes, 3))},
        "extra_distances": {} if layout == "sparse" else {"weighted": rng.random(pairs)},
        "weight_prints": rng.integers(1 << 60, size=len(SIZES)),
        "prints": rng.integers(1 << 60, size=len(SIZES)),
        **options,
    }
    return write_cache(path, matrices, layout=layout, max_distance=5, **options)


@pytest.fixture(params=["dense", "sparse"])
def layout(request):
    return request.param


@pytest.fixture
def file(layout, tmp_path):
    return write(tmp_path / f"{layout}.h5", layout)


def words(cache):
    """Return what the attributes say."""
    named = (cache.layout, cache.dtype, cache.directed, cache.max_distance, cache.longest_distance)
    return np.array([str(word) for word in (*named, len(cache), cache.encodings, cache.extra_distances)])


def everything(cache):
    """Return all that can be read."""
    found = [cache.node_counts, cache.fingerprints(), cache.weight_fingerprints(), cache.histogram()]
    found += [cache.encoding(name, graph) for name in cache.encodings for graph in range(len(cache))]
    for graph in range(len(cache)):
        near = cache.neighborhood(graph)
        found += [near.indptr, near.indices, near.distances]
        found += [cache.extra_distance(name, graph) for name in cache.extra_distances]
    return [*found, words(cache)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for value, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, right)


def put_byte(path, position, value):
    with path.open("r+b") as file:
        file.seek(position)
        file.write(bytes([value]))


def chunk_bytes(path):
    """Return the name of the array that each byte of the file belongs to, for those of chunks."""
    names = {}
    with h5py.File(path) as file:

        def visit(name, found):
            if isinstance(found, h5py.Dataset) and found.chunks:
                for number in range(found.id.get_num_chunks()):
                    chunk = found.id.get_chunk_info(number)
                    names.update(
                        dict.fromkeys(range(chunk.byte_offset, chunk.byte_offset + chunk.size), name)
                    )

        file.visititems(visit)
    return names


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_is_found_or_harmless(file, seed):
    expected = everything(DistanceCache(file))
    content = file.read_bytes()
    inside = chunk_bytes(file)
    rng = np.random.default_rng(seed)
    found = 0
    for bit in rng.integers(8 * len(content), size=125).tolist():
        put_byte(file, bit // 8, content[bit // 8] ^ 1 << bit % 8)
        name = inside.get(bit // 8)
        message = None
        try:
            assert_same(everything(DistanceCache(file)), expected)
        except CacheError as error:
            message = str(error)
            found += 1
        if name is not None:
            where = "" if name == "histogram" else r" of graphs \d to 8"
            assert message is not None, f"a flipped bit in {name} was not found"
            assert re.search(f"is broken: {name}{where}: ", message)
        put_byte(file, bit // 8, content[bit // 8])
    assert found > 25


def test_any_flipped_bit_among_the_strings_of_the_attributes(file):
    # HDF5 has no checksum there, and steps over an object that takes no space forever.
    expected = words(DistanceCache(file))
    content = file.read_bytes()
    begin = content.index(b"GCOL")
    free = content.index(bytes(64), begin + 16)
    found = 0
    for bit in range(8 * begin, 8 * (free + 16)):
        put_byte(file, bit // 8, content[bit // 8] ^ 1 << bit % 8)
        try:
            np.testing.assert_array_equal(words(DistanceCache(file)), expected)
        except CacheError:
            found += 1
        put_byte(file, bit // 8, content[bit // 8])
    assert found > 1000


@pytest.mark.parametrize("read", ["one", "all", "verify"])
def test_broken_distances_name_their_graphs(tmp_path, read):
    matrices = [hops(graph) for graph in random_graphs([97] * 11)]
    path = write_cache(tmp_path / "x.h5", matrices)
    with h5py.File(path) as file:
        rows = file["distances"].chunks[0]
    break_chunk(path, "distances", 2)
    cache = DistanceCache(path)
    first, last = 2 * rows // 97**2, (3 * rows - 1) // 97**2
    message = f"is broken: distances of graphs {first} to {last}: checksum differs; preprocess again"
    ask = {"one": lambda: cache[first], "all": cache.read, "verify": cache.verify}[read]
    # What was read before is not served in the place of what the file holds.
    assert cache[first - 1].shape == cache[last + 1].shape == (97, 97)
    with pytest.raises(CacheError, match=message):
        ask()


def test_truncated_anywhere(file):
    content = file.read_bytes()
    lengths = {0, 1, 7, 8, len(content) - 1, *np.linspace(9, len(content) - 2, 150, dtype=int).tolist()}
    for length in lengths:
        file.write_bytes(content[:length])
        with pytest.raises(CacheError, match=r"is (truncated or )?broken|is no HDF5 file") as caught:
            DistanceCache(file)
        assert "\n" not in str(caught.value)


def test_newer_version_is_refused_by_name(file):
    change_attributes(file, encoding__version=3, created__by="gradformer-dgl 9.0")
    message = r"was written by a newer version \(gradformer-dgl 9\.0, format 3; .*\): upgrade gradformer-dgl"
    with pytest.raises(CacheError, match=message):
        DistanceCache(file)


def test_missing_folder_and_foreign_files(tmp_path):
    with pytest.raises(CacheError, match=r"none\.h5 does not exist: run `gradformer-dgl preprocess`"):
        DistanceCache(tmp_path / "none.h5")
    with pytest.raises(CacheError, match="is a folder, not a cache"):
        DistanceCache(tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(CacheError, match=r"text\.h5 is no HDF5 file, so no cache of distances"):
        DistanceCache(text)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(CacheError, match="is an HDF5 file, but no cache of distances"):
        DistanceCache(tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "node_counts",
            np.ones(9, np.int32),
            "(distances|near_counts) has .* rows where the counts ask for 9",
        ),
        ("node_counts", np.ones(7, np.int32), "it should hold 9 graphs, but has 7 node counts"),
        ("node_counts", np.full(9, 2**31 - 1, np.int32), "its node counts are beyond reason"),
        ("node_counts", np.full(9, -1, np.int32), "a node count is negative"),
        ("node_counts", np.ones(9, np.float32), "has node_counts of type float32"),
        ("fingerprints", np.ones(3, np.uint64), "fingerprints has 3 rows"),
        ("weight_fingerprints", np.ones(3, np.uint64), "weight_fingerprints has 3 rows"),
        ("histogram", np.ones(3, np.float32), "has histogram of type float32"),
        ("histogram", None, "has no array histogram"),
        ("encodings/rwse:3", np.ones((3, 3), np.float32), "encodings/rwse:3 has 3 rows"),
        (
            "encodings/rwse:3",
            np.ones(79, np.float32),
            r"has encodings/rwse:3 of type float32 and shape \(79,\)",
        ),
        ("encodings", np.ones(3), "is broken"),
    ],
)
def test_arrays_that_cannot_be(file, name, values, message):
    replace_array(file, name, values)
    with pytest.raises(CacheError, match=message):
        DistanceCache(file)


@pytest.mark.parametrize(
    ("layout", "name", "values", "message"),
    [
        ("dense", "distances", np.ones((3, 3), np.uint8), r"has distances of type uint8 and shape \(3, 3\)"),
        ("dense", "distances", np.ones(3, np.uint16), "has distances of type uint16"),
        ("dense", "extra_distances/weighted", None, "has no array extra_distances/weighted"),
        ("dense", "extra_distances/weighted", np.ones(3, np.float32), "extra_distances/weighted has 3 rows"),
        ("sparse", "near_counts", np.ones(3, np.int32), "near_counts has 3 rows where the counts ask for 79"),
        ("sparse", "near_nodes", np.ones(3, np.int32), "near_distances has .* the counts ask for 3"),
        ("sparse", "near_nodes", np.ones(3, np.int64), "has near_nodes of type int64"),
        ("sparse", "near_distances", np.ones(3, np.uint16), "has near_distances of type uint16"),
    ],
)
def test_distances_that_cannot_be(tmp_path, layout, name, values, message):
    path = write(tmp_path / "x.h5", layout)
    replace_array(path, name, values)
    with pytest.raises(CacheError, match=message):
        DistanceCache(path)


@pytest.mark.parametrize(
    ("layout", "name", "dtype", "counts"),
    [
        ("dense", "node_counts", np.int32, 10**15),
        ("dense", "distances", np.uint8, [31622777]),
        ("sparse", "near_counts", np.int32, [2**30] * 3),
        ("sparse", "near_nodes", np.int32, [31622777]),
    ],
)
def test_headers_that_promise_a_petabyte_take_no_memory(tmp_path, layout, name, dtype, counts):
    path = write(tmp_path / "x.h5", layout)
    graphs = counts if isinstance(counts, int) else len(counts)
    if graphs != counts:
        replace_array(path, "node_counts", np.array(counts, np.int32))
        replace_array(path, "fingerprints", np.zeros(graphs, np.uint64))
        if name == "near_nodes":
            replace_array(
                path, "near_counts", shape=(counts[0],), dtype=np.int32, chunks=(1024,), compression=1
            )
    rows = {"distances": 31622777**2, "near_counts": 3 * 2**30}.get(name, 10**15)
    replace_array(path, name, shape=(rows,), dtype=dtype, chunks=(1024,), compression=1)
    change_attributes(path, num_graphs=graphs)
    with pytest.raises(CacheError, match=r"promises [\d,]+ bytes of (near_counts|" + name + ") in a file of"):
        DistanceCache(path)


def test_values_that_lie_in_another_file_are_refused(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1 << 16))
    with h5py.File(file) as content:
        shape = content["fingerprints"].shape
    replace_array(file, "fingerprints", shape=shape, dtype=np.uint64, external=[(secret, 0, 8 * shape[0])])
    with pytest.raises(CacheError, match="has fingerprints in another file"):
        DistanceCache(file)


def test_a_chunk_of_a_gibibyte_is_refused(tmp_path):
    path = write(tmp_path / "x.h5", "dense")
    replace_array(
        path, "distances", shape=(1255,), maxshape=(None,), dtype=np.uint8, chunks=(2**30,), compression=1
    )
    with pytest.raises(CacheError, match="promises 1,255 bytes of distances"):
        DistanceCache(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "diagonal"}, "it has an unknown layout, diagonal"),
        ({"unreachable": 7}, "is broken"),
        ({"num_graphs": -1}, "it should hold -1 graphs"),
        ({"extra__distances": "time"}, "has no array extra_distances/time"),
        ({"max_distance": "far"}, "is broken"),
    ],
)
def test_attributes_that_cannot_be(file, changes, message):
    change_attributes(file, **changes)
    with pytest.raises(CacheError, match=message):
        DistanceCache(file)


def test_a_changed_attribute_is_found(file):
    with h5py.File(file, "r+") as opened:
        opened.attrs["directed"] = True
    with pytest.raises(CacheError, match="the checksum of its attributes differs"):
        DistanceCache(file)


def read_in_worker(cache):
    return everything(cache)


def test_pickled_and_in_workers(file):
    cache = DistanceCache(file)
    expected = everything(cache)
    assert_same(everything(pickle.loads(pickle.dumps(cache))), expected)
    assert len(pickle.dumps(cache)) < 5000
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map(read_in_worker, [cache] * 4):
            assert_same(found, expected)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        # Not even pickled: the object that the parent goes on using.
        os.write(write_end, pickle.dumps(everything(cache)[-2]))
        os._exit(0)
    assert_same(everything(cache), expected)
    assert os.waitpid(child, 0)[1] == 0
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        np.testing.assert_array_equal(pickle.load(answer), expected[-2])


def test_in_a_spawned_process(tmp_path):
    path = write(tmp_path / "x.h5", "dense")
    cache = DistanceCache(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(cache.__getitem__, (4,)), cache[4])


def test_replaced_while_open(file, layout, tmp_path):
    cache = DistanceCache(file)
    expected = everything(cache)
    cache._arrays.clear()
    pickled = pickle.dumps(cache)
    write(tmp_path / "new.h5", layout, seed=1)
    change_attributes(tmp_path / "new.h5", data__fingerprint="1" * 16)
    (tmp_path / "new.h5").replace(file)
    assert_same(everything(cache), expected)
    with pytest.raises(CacheError, match="has been replaced since it was opened: open it again"):
        pickle.loads(pickled).neighborhood(0)
    write(tmp_path / "new.h5", layout, encodings={}).replace(file)
    with pytest.raises(CacheError, match="has been replaced since it was opened: open it again"):
        pickle.loads(pickled).encoding("rwse:3")
    file.unlink()
    assert_same(everything(cache), expected)
    with pytest.raises(CacheError, match="does not exist"):
        pickle.loads(pickled).fingerprints()


@pytest.mark.skipif(bool(AS_ANYONE) and shutil.which("setpriv") is None, reason="root without setpriv")
def test_read_only_folder_and_unreadable_file(tmp_path):
    path = write(tmp_path / "x.h5", "dense")
    expected = DistanceCache(path)[4].tolist()
    code = (
        "import os, sys\nfrom gradformer_dgl.cache import DistanceCache\n"
        "from gradformer_dgl.support.errors import CacheError\n"
        "assert not os.access(os.path.dirname(sys.argv[1]), os.W_OK)\n"
        "try:\n    print(DistanceCache(sys.argv[1])[4].tolist())\n"
        "except CacheError as error:\n    print(error)"
    )
    answers = []
    try:
        for mode in (0o444, 0o000):
            path.chmod(mode)
            tmp_path.chmod(0o555)
            done = subprocess.run(
                [*AS_ANYONE, sys.executable, "-c", code, path], capture_output=True, text=True, check=True
            )
            answers.append(done.stdout.strip())
    finally:
        tmp_path.chmod(0o755)
    assert answers == [str(expected), f"{path} cannot be read: no permission"]
