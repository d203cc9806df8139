import multiprocessing
import pickle
import shutil
from pathlib import Path

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.format import attributes_checksum
from gradformer_dgl.errors import CacheError
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.preprocess.random_walks import return_probabilities
from gradformer_dgl.preprocess.shortest_paths import packed_distances


@pytest.fixture(scope="session")
def cache_file(structures, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "random.h5"
    preprocess_graphs(structures, path, n_jobs=1, encodings=("rwse:5", "lappe:3"))
    return path


@pytest.fixture
def copy(cache_file, tmp_path):
    return shutil.copy(cache_file, tmp_path / "copy.h5")


def change_attributes(path, **changes):
    with h5py.File(path, "r+") as file:
        for name, value in changes.items():
            file.attrs[name.replace("_", "-") if name.startswith("encoding") else name] = value
        file.attrs["attributes-crc32"] = attributes_checksum(dict(file.attrs))


def replace(path, name, values, **options):
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **options)


def test_holds_what_was_computed(cache_file, structures):
    cache = DistanceCache(cache_file)
    expected, _, histogram = packed_distances(structures, np.uint8)
    assert len(cache) == 211
    assert cache.dtype == np.uint8
    assert cache.encodings == ("lappe:3", "rwse:5")
    assert (cache.directed, cache.max_distance) == (False, None)
    assert cache.longest_distance == len(histogram) - 1
    np.testing.assert_array_equal(cache.node_counts, structures.node_counts)
    np.testing.assert_array_equal(cache.read(), expected)
    np.testing.assert_array_equal(cache.histogram(), histogram)
    np.testing.assert_array_equal(cache.encoding("rwse:5"), return_probabilities(structures, 5))
    cache.verify()
    cache.verify(structures)


def test_single_graphs_and_ranges(cache_file, structures):
    cache = DistanceCache(cache_file)
    flat, walks = cache.read(), cache.encoding("rwse:5")
    pairs = np.cumsum(np.square(structures.node_counts))
    nodes = np.cumsum(structures.node_counts)
    for index in [0, 3, 101, 210, -1, -211, np.int64(7)]:
        graph = index % 211
        size = int(structures.node_counts[graph])
        np.testing.assert_array_equal(cache[index].ravel(), flat[pairs[graph] - size**2 : pairs[graph]])
        assert cache[index].shape == (size, size)
        np.testing.assert_array_equal(
            cache.encoding("rwse:5", index), walks[nodes[graph] - size : nodes[graph]]
        )
    np.testing.assert_array_equal(cache.read(17, 101), flat[pairs[16] : pairs[100]])
    assert cache.read(5, 5).shape == (0,)


def test_results_are_the_readers_own(cache_file):
    cache = DistanceCache(cache_file)
    graph = int(cache.node_counts.argmax())
    cache[graph][:] = 7
    assert cache[graph][0, 0] == 0


def test_any_hdf5_reader_reads_it(cache_file, structures):
    expected, prints, _ = packed_distances(structures, np.uint8)
    with h5py.File(cache_file) as file:
        assert file.attrs["encoding-type"] == "gradformer-dgl-distances"
        assert (file.attrs["encoding-version"], file.attrs["distance"]) == (1, "shortest_path")
        assert (file.attrs["unreachable"], file.attrs["num_graphs"], file.attrs["max_distance"]) == (
            255,
            211,
            -1,
        )
        assert file["node_counts"].dtype == np.int32
        assert file["distances"].fletcher32
        np.testing.assert_array_equal(file["distances"][:], expected)
        np.testing.assert_array_equal(file["fingerprints"][:], prints)


def test_repacked_by_another_tool(copy, structures):
    expected = DistanceCache(copy).read()
    replace(copy, "distances", expected, chunks=(997,), compression="lzf", fletcher32=True)
    replace(copy, "fingerprints", DistanceCache(copy).fingerprints())
    cache = DistanceCache(copy)
    np.testing.assert_array_equal(cache.read(), expected)
    np.testing.assert_array_equal(cache[-1].ravel(), expected[len(expected) - cache[-1].size :])
    cache.verify()
    cache.verify(structures)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=40), st.booleans())
def test_round_trip(tmp_path_factory, sizes, directed):
    rng = np.random.default_rng(len(sizes))
    graphs = [(*rng.integers(0, max(n, 1), (2, m if n else 0)), n) for n, m in sizes]
    structures = GraphStructures.from_graphs(graphs)
    path = tmp_path_factory.mktemp("round") / "x.h5"
    cache = preprocess_graphs(
        structures, path, n_jobs=1, directed=directed, encodings=("rwse:3",), max_distance=4
    )
    np.testing.assert_array_equal(cache.read(), packed_distances(structures, np.uint8, directed, 4)[0])
    np.testing.assert_array_equal(cache.encoding("rwse:3"), return_probabilities(structures, 3, directed))
    assert (cache.directed, cache.max_distance) == (directed, 4)
    cache.verify()
    cache.verify(graphs)


def test_info(cache_file, structures):
    info = DistanceCache(cache_file).info()
    flat = packed_distances(structures, np.uint8)[0]
    assert info["graphs"] == 211
    assert info["pairs"] == len(flat)
    assert info["bytes"] == cache_file.stat().st_size
    assert info["encodings"] == {"lappe:3": 3, "rwse:5": 5}
    assert info["histogram"] == np.bincount(flat[flat < 255]).tolist()
    assert info["unreachable"] == pytest.approx((flat == 255).mean())
    assert info["created_by"].startswith("gradformer-dgl ")


def test_pickled_and_in_workers(cache_file):
    cache = DistanceCache(cache_file)
    expected = cache[101]
    again = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(again[101], expected)
    assert len(pickle.dumps(cache)) < 20000
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply(cache.__getitem__, (101,)), expected)
    np.testing.assert_array_equal(cache[101], expected)


def test_replaced_between_processes(copy, structures):
    cache = DistanceCache(copy)
    data = pickle.dumps(cache)
    preprocess_graphs(structures.slice(0, 7), copy, n_jobs=1)
    with pytest.raises(CacheError, match="has been replaced since it was opened: open it again"):
        pickle.loads(data)[0]


def test_no_such_graph_or_encoding(cache_file):
    cache = DistanceCache(cache_file)
    with pytest.raises(IndexError, match="graph 211 of a cache of 211 graphs"):
        cache[211]
    with pytest.raises(IndexError, match="graphs 5 to 212 of a cache of 211"):
        cache.read(5, 212)
    message = r"has no encoding rwse:20 \(it has lappe:3, rwse:5\): .* with `--encodings rwse:20`"
    with pytest.raises(CacheError, match=message):
        cache.encoding("rwse:20", 0)


def test_other_data_is_refused(cache_file, structures):
    cache = DistanceCache(cache_file)
    with pytest.raises(CacheError, match="holds 211 graphs, the data set 210: preprocess this data set"):
        cache.verify(structures.slice(0, 210))
    graphs = [structures.slice(index, index + 1) for index in range(211)]
    graphs[137] = GraphStructures([2], [1], [0], [1])
    with pytest.raises(CacheError, match="belongs to other data: graph 137 differs"):
        cache.verify(GraphStructures.concatenate(graphs))


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


def test_newer_version_is_refused_by_name(copy):
    change_attributes(copy, **{"encoding_version": 3, "created-by": "gradformer-dgl 9.0"})
    message = r"was written by a newer version \(gradformer-dgl 9\.0, format 3; .*\): upgrade gradformer-dgl"
    with pytest.raises(CacheError, match=message):
        DistanceCache(copy)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated(copy, share):
    with Path(copy).open("r+b") as file:
        file.truncate(int(share * file.seek(0, 2)))
    with pytest.raises(CacheError, match=r"copy\.h5 is (truncated or )?broken") as caught:
        DistanceCache(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("node_counts", np.ones(211, np.int32), "distances has .* rows where the counts ask for 211"),
        ("node_counts", np.ones(7, np.int32), "it should hold 211 graphs, but has 7 node counts"),
        ("node_counts", np.full(211, 2**31 - 1, np.int32), "its node counts are beyond reason"),
        ("node_counts", np.full(211, -1, np.int32), "a node count is negative"),
        ("node_counts", np.ones(211, np.float32), "has node_counts of type float32"),
        ("fingerprints", np.ones(3, np.uint64), "fingerprints has 3 rows"),
        ("distances", np.ones((3, 3), np.uint8), r"has distances of type uint8 and shape \(3, 3\)"),
    ],
)
def test_hostile_arrays(copy, name, values, message):
    replace(copy, name, values)
    with pytest.raises(CacheError, match=message):
        DistanceCache(copy)


def test_counts_that_promise_a_petabyte_are_refused_before_memory_is_taken(copy):
    with h5py.File(copy, "r+") as file:
        del file["node_counts"]
        file.create_dataset("node_counts", (10**15,), np.int32, chunks=(1024,), compression="gzip")
    change_attributes(copy, num_graphs=10**15)
    with pytest.raises(CacheError, match="promises 4,000,000,000,000,000 bytes of node_counts in a file of"):
        DistanceCache(copy)


def test_missing_array_and_changed_attribute(copy):
    with h5py.File(copy, "r+") as file:
        file.attrs["directed"] = True
    with pytest.raises(CacheError, match="the checksum of its attributes differs"):
        DistanceCache(copy)
    change_attributes(copy)
    with h5py.File(copy, "r+") as file:
        del file["fingerprints"]
    with pytest.raises(CacheError, match="has no array fingerprints"):
        DistanceCache(copy)


def test_flipped_byte_in_the_distances_names_the_graphs(copy):
    with h5py.File(copy) as file:
        place = file["distances"].id.get_chunk_info(1).byte_offset
    with Path(copy).open("r+b") as file:
        file.seek(place + 40)
        byte = file.read(1)[0]
        file.seek(place + 40)
        file.write(bytes([byte ^ 16]))
    cache = DistanceCache(copy)
    assert cache[0] is not None
    with pytest.raises(
        CacheError, match=r"distances of graphs \d+ to \d+: checksum differs; preprocess again"
    ):
        cache.read()
    with pytest.raises(CacheError, match="distances of graphs"):
        cache.verify()


def test_flipped_bits_anywhere_are_found_or_harmless(cache_file, structures, tmp_path):
    original = cache_file.read_bytes()
    good = DistanceCache(cache_file)
    expected = [
        good.read(),
        good.encoding("rwse:5"),
        good.encoding("lappe:3"),
        good.fingerprints(),
        good.histogram(),
    ]
    rng = np.random.default_rng(5)
    # All of the metadata before the first chunk, and places at random in the rest.
    places = np.concatenate([np.arange(0, 2048, 7), rng.integers(0, len(original), 150)])
    found = 0
    broken = tmp_path / "broken.h5"
    for place in places:
        data = bytearray(original)
        data[place] ^= 1 << int(rng.integers(8))
        broken.write_bytes(data)
        try:
            cache = DistanceCache(broken)
            cache.verify()
            values = [
                cache.read(),
                cache.encoding("rwse:5"),
                cache.encoding("lappe:3"),
                cache.fingerprints(),
                cache.histogram(),
            ]
        except CacheError:
            found += 1
            continue
        for value, right in zip(values, expected, strict=True):
            np.testing.assert_array_equal(value, right)
        assert (cache.directed, cache.max_distance, cache.encodings) == (False, None, good.encodings)
        np.testing.assert_array_equal(cache.node_counts, good.node_counts)
    assert found > 0.5 * len(places)


def test_read_only_folder(copy, tmp_path):
    tmp_path.chmod(0o555)
    try:
        assert len(DistanceCache(copy)) == 211
    finally:
        tmp_path.chmod(0o755)
