"""Whatever was written to a cache by other means is found: by `verify`, and by whoever reads it."""

import contextlib
import errno
import os
import random
import re
import resource

import h5py
import numpy as np
import pytest
from files import exchange_chunks, hops, make_version_1, random_graphs, replace_array, write_cache

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.cache_file import BrokenCacheError, ForeignFileError
from gradformer_dgl.support.errors import CacheError

CASES = int(os.environ.get("FUZZ", "60"))
SIZES = [97, 0, 1, 60] * 9
# Those of several chunks.
LARGE = {
    "dense": ("distances", "encodings/rwse:20", "extra_distances/resistance"),
    "sparse": ("near_nodes", "near_distances", "encodings/rwse:20"),
}


def write(path, layout):
    """Write a file with several chunks in its larger arrays."""
    matrices = [hops(graph, max_distance=9) for graph in random_graphs(SIZES)]
    nodes, pairs = sum(SIZES), sum(size**2 for size in SIZES)
    rng = np.random.default_rng(0)
    return write_cache(
        path,
        matrices,
        layout=layout,
        max_distance=9,
        encodings={"rwse:20": rng.random((nodes, 20))},
        extra_distances={"resistance": rng.random(pairs)} if layout == "dense" else {},
        weight_prints=rng.integers(1 << 60, size=len(SIZES)),
        prints=rng.integers(1 << 60, size=len(SIZES)),
    )


@pytest.fixture(scope="module", params=["dense", "sparse"])
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def written(layout, tmp_path_factory):
    """Content of a file, and what is read from it."""
    path = write(tmp_path_factory.mktemp("written") / "x.h5", layout)
    return path.read_bytes(), parts(DistanceCache(path))


@pytest.fixture
def file(written, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(written[0])
    return path


def parts(cache):
    """Return all that can be read, graph by graph."""
    found = [cache.node_counts, cache.fingerprints(), cache.weight_fingerprints(), cache.histogram()]
    for graph in range(len(cache)):
        near = cache.neighborhood(graph)
        found += [near.indptr, near.indices, near.distances, cache.encoding("rwse:20", graph)]
        found += [cache.extra_distance(name, graph) for name in cache.extra_distances]
    return found


def assert_parts(cache, expected):
    for value, right in zip(parts(cache), expected, strict=True):
        np.testing.assert_array_equal(value, right)


def assert_found(path, expected):
    """Check that `verify` finds a change, and that reading gives what was written or an error."""
    with pytest.raises(CacheError, match="is broken"):
        DistanceCache(path).verify()
    with pytest.raises(CacheError, match="is broken"):
        assert_parts(DistanceCache(path), expected)


@pytest.mark.parametrize("both", [True, False], ids=["exchanged", "doubled"])
def test_chunks_in_other_places(file, layout, written, both):
    for name in LARGE[layout]:
        with h5py.File(file) as opened:
            assert opened[name].id.get_num_chunks() >= 2
        exchange_chunks(file, name, 0, 1, both)
        with pytest.raises(
            BrokenCacheError, match=f"{name} of graphs 0 to .*: other values than were written"
        ):
            DistanceCache(file).verify()
        assert_found(file, written[1])
        file.write_bytes(written[0])


@pytest.mark.parametrize("change", [np.roll, np.flip], ids=["moved", "reversed"])
def test_arrays_in_another_order(file, written, change):
    names = [name for name in arrays(file) if name != "chunk_hashes"]
    for name in names:
        with h5py.File(file, "r+") as opened:
            values = opened[name][:]
            opened[name][...] = np.roll(values, 1, 0) if change is np.roll else values[::-1]
        assert_found(file, written[1])
        file.write_bytes(written[0])


def arrays(path):
    """Return the names of all arrays of a file."""
    names: list[str] = []
    with h5py.File(path) as opened:
        opened.visititems(lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None)
    return names


def edit(path, rng):
    """Change one value through HDF5, which writes a valid checksum."""
    name = rng.choice(arrays(path))
    with h5py.File(path, "r+") as opened:
        values = opened[name][:]
        flat = values.reshape(-1).view(np.uint8)
        flat[rng.randrange(len(flat))] ^= 1 << rng.randrange(8)
        opened[name][...] = values


def move(path, rng):
    name = rng.choice(arrays(path))
    with h5py.File(path) as opened:
        count = opened[name].id.get_num_chunks() if opened[name].chunks else 0
    if count > 1:
        exchange_chunks(path, name, *rng.sample(range(count), 2), both=rng.random() < 0.5)


def shuffle(path, rng):
    name = rng.choice(arrays(path))
    with h5py.File(path, "r+") as opened:
        values = opened[name][:]
        opened[name][...] = values[np.random.default_rng(rng.randrange(99)).permutation(len(values))]


def rename(path, rng):
    """Exchange two arrays, or drop one."""
    first, second = rng.sample(arrays(path), 2)
    with h5py.File(path, "r+") as opened:
        opened.move(first, "other")
        if rng.random() < 0.7:
            opened.move(second, first)
            opened.move("other", second)


def repack(path, rng):
    """Write an array anew, with other chunks and one other value."""
    name = rng.choice([name for name in arrays(path) if name != "chunk_hashes"])
    with h5py.File(path) as opened:
        values = opened[name][:]
    values.reshape(-1).view(np.uint8)[rng.randrange(values.nbytes)] ^= 1
    replace_array(path, name, values, chunks=True, compression="gzip", fletcher32=True)


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


@pytest.mark.parametrize("number", range(CASES))
def test_corruptions_of_all_kinds_give_no_other_value(file, written, number):
    rng = random.Random(number)
    rng.choice([edit, edit, move, shuffle, rename, repack, flip, cut])(file, rng)
    message = None
    try:
        cache = DistanceCache(file)
        cache.verify()
        assert_parts(cache, written[1])
    except CacheError as error:
        message = str(error)
    assert message is None or re.search(r"is (truncated or )?broken.*|is no HDF5 file.*", message)


def test_files_of_before_are_read(file, layout, written):
    make_version_1(file)
    cache = DistanceCache(file)
    assert_parts(cache, written[1])
    cache.verify()
    assert cache.info()["format"] == (1 if layout == "dense" else 2)


def test_hashes_that_are_gone_or_cannot_be(file, layout):
    content = file.read_bytes()
    replace_array(file, "chunk_hashes")
    with pytest.raises(BrokenCacheError, match="is broken"):
        DistanceCache(file)
    file.write_bytes(content)
    replace_array(file, "chunk_hashes", np.zeros(3, np.uint64))
    with pytest.raises(BrokenCacheError, match=r"has chunk_hashes of type uint64 and shape \(3,\)"):
        DistanceCache(file)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ENOMEM, errno.ESTALE])
@pytest.mark.parametrize("where", ["open", "read"])
def test_an_error_of_the_system_is_not_one_of_the_file(file, monkeypatch, number, where):
    cache = DistanceCache(file)
    error = OSError(number, os.strerror(number))

    def fail(*arguments, **options):
        raise error

    if where == "open":
        monkeypatch.setattr(h5py, "File", fail)
        ask = lambda: DistanceCache(file)  # noqa: E731
    else:
        monkeypatch.setattr("gradformer_dgl.cache.stored_array.decode_chunk", fail)
        ask = cache.verify
    with pytest.raises(CacheError, match="cannot be read: ") as caught:
        ask()
    assert not isinstance(caught.value, BrokenCacheError | ForeignFileError)
    assert "replace" not in str(caught.value)


def test_too_many_open_files(file):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(CacheError, match="cannot be read: Too many open files") as caught:
            DistanceCache(file)
        assert not isinstance(caught.value, BrokenCacheError | ForeignFileError)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
