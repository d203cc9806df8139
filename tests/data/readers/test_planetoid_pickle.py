import collections
import io
import os
import pickle
import struct
import tracemalloc
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse

from gradformer_dgl.data.readers.planetoid_pickle import read_planetoid
from gradformer_dgl.support.errors import DataError


class Python2(pickle._Pickler):
    """Writes text and bytes as the strings of Python 2, and the names of its modules."""

    def save_string(self, text):
        data = text.encode("latin1") if isinstance(text, str) else text
        if self.proto == 0:
            self.write(b"S" + repr(data)[1:].encode() + b"\n")
        elif len(data) < 256:
            self.write(b"U" + bytes([len(data)]) + data)
        else:
            self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}


def written(value, protocol, old):
    """Return the pickle of a value: of this Python, or as one of Python 2 with libraries of its time."""
    if not old:
        return pickle.dumps(value, protocol=protocol)
    file = io.BytesIO()
    Python2(file, protocol).dump(value)
    data = file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    return data.replace(b"scipy.sparse._csr", b"scipy.sparse.csr")


def read(tmp_path, data):
    file = tmp_path / "ind.some.part"
    file.write_bytes(data)
    return read_planetoid(file)


RNG = np.random.default_rng(3)
ARRAYS = {
    "one-hot": np.eye(5, dtype=np.int32)[RNG.integers(0, 5, 131)],
    "double": RNG.standard_normal((17, 3)),
    "columns first": np.asfortranarray(RNG.standard_normal((7, 11)).astype(np.float32)),
    "big-endian": RNG.integers(-999, 999, 23).astype(">i8"),
    "bytes": RNG.integers(0, 256, 300).astype(np.uint8),
    "flags": RNG.integers(0, 2, 13) > 0,
    "nothing": np.zeros((0, 4), np.float32),
}


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_those_that_pickle_reads(tmp_path, name, protocol, old):
    data = written(ARRAYS[name], protocol, old)
    expected, found = pickle.loads(data, encoding="latin1"), read(tmp_path, data)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert found.dtype == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("density", [0.0, 0.3])
def test_matrices_are_those_that_pickle_reads(tmp_path, protocol, old, density):
    matrix = scipy.sparse.random(37, 101, density, "csr", np.float32, random_state=1)
    data = written(matrix, protocol, old)
    found = read(tmp_path, data)
    assert found.shape == (37, 101)
    assert (found != matrix).nnz == 0
    # SciPy reads no pickles of its own first releases.
    theirs = pickle.loads(data.replace(b"scipy.sparse.csr\n", b"scipy.sparse._csr\n"), encoding="latin1")
    np.testing.assert_array_equal(found.toarray(), theirs.toarray())


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("kind", [dict, lambda items: collections.defaultdict(list, items)])
def test_dictionaries_are_those_that_pickle_reads(tmp_path, protocol, kind):
    shared = [5, 70000, 2**40]
    graph = kind({0: [300, 1], 1: [], 300: shared, 2**31: shared, 7: [-1]})
    data = written(graph, protocol, True)
    found = read(tmp_path, data)
    assert found == graph == pickle.loads(data)
    assert list(found) == list(graph)


class Call:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_what_wants_to_run_is_not_run(tmp_path, protocol):
    target = tmp_path / "touched"
    for function, *arguments in [(os.system, f"touch {target}"), (eval, f"open({str(target)!r}, 'w')")]:
        # The reader tells what it is asked for, or does not know the newer instructions.
        with pytest.raises(DataError, match=r"cannot be read \(it (asks for|holds) "):
            read(tmp_path, pickle.dumps(Call(function, *arguments), protocol=protocol))
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path, pickle.dumps({0: [Call(function, *arguments)]}, protocol=protocol))
    assert not target.exists()


DTYPE = b"cnumpy\ndtype\n(S'i4'\nI00\nI01\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it ends too early"),
        (b"\x80\x02", "it ends too early"),
        (b".", "it is broken"),
        (b"\xff", "it is broken"),
        (b"0.", "it holds POP, which is not expected"),
        (b"cposix\nsystem\n.", "it asks for posix.system"),
        (b"c__builtin__\nlist\n.", "neither an array, nor a matrix, nor a dictionary"),
        (b"]K\x01a.", "neither an array, nor a matrix, nor a dictionary"),
        (ARRAY + b".", "neither an array"),
        (b"(dS'a'\n]s.", "a dictionary of other than lists"),
        (b"(dI0\nI1\ns.", "a dictionary of other than lists"),
        (b"(dI0\n(lS'a'\nas.", "lists of other than numbers"),
        (b"}])s.", "a dictionary of other than numbers"),
        (b"(e.", "it is broken"),
        (b"u.", "it is broken"),
        (b"s.", "it is broken"),
        (b"g7\n.", "it is broken"),
        (b"p0\n.", "it is broken"),
        (b"I" + b"9" * 5000 + b"\n.", "it is broken"),
        (b"X\xff\xff\xff\x7fabc.", "it ends too early"),
        (b"T\xff\xff\xff\x7fabc.", "it ends too early"),
        (b"S'abc\n.", "it is broken"),
        (ARRAY + b"(I1\n(I1000000000000\nt" + DTYPE + b"I00\nS'abcd'\ntb.", "it is broken"),
        (ARRAY + b"(I1\n(I-1\nt" + DTYPE + b"I00\nS'abcd'\ntb.", "an array of an impossible shape"),
        (ARRAY + b"(I1\n(I1\nt" + DTYPE + b"I00\n(lt" + b"b.", "an object that is not expected"),
        (ARRAY + b"(I1\n(I1\nt" + DTYPE.replace(b"i4", b"O8") + b"I00\n(ltb.", "that is not expected"),
        (b"cscipy.sparse.csr\ncsr_matrix\n)\x81}b.", "it is broken"),
        (
            b"cscipy.sparse.csr\ncsr_matrix\n)\x81(dS'_shape'\n(I1000000000\nI1000000000\ntsb.",
            "it holds a matrix of 1000000000 by 1000000000",
        ),
        (
            b"cscipy.sparse.csr\ncsr_matrix\n)\x81(dS'_shape'\n(S'aa'\nI1000000000000\ntsb.",
            "a matrix of an impossible shape",
        ),
    ],
    ids=lambda value: repr(value[-20:]) if isinstance(value, bytes) else "",
)
def test_what_cannot_be_is_refused(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


def test_a_matrix_whose_parts_do_not_fit_is_refused(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.eye(3, dtype=np.float32))
    for name, value in [("indices", 7), ("indices", -1), ("indptr", 9)]:
        broken = matrix.copy()
        getattr(broken, name)[1] = value
        with pytest.raises(DataError, match="it is broken"):
            read(tmp_path, pickle.dumps(broken, protocol=2))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_cut_and_changed_files_are_read_or_refused(tmp_path, protocol):
    data = written(scipy.sparse.csr_matrix(np.eye(3, dtype=np.float32)), protocol, True)
    for end in range(0, len(data), 7):
        with pytest.raises(DataError, match="delete it and get it again"):
            read(tmp_path, data[:end])
    rng, refused = np.random.default_rng(protocol), 0
    for _ in range(150):
        place = int(rng.integers(len(data)))
        changed = data[:place] + rng.bytes(1) + data[place + 1 :]
        try:
            read(tmp_path, changed)
        except DataError:
            refused += 1
    assert refused > 15


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # An index of a memo, a text and an array of bytes that would take gigabytes.
        (b"K\x01r\xff\xff\xff\xff.", "neither an array"),
        (b"\x8d" + b"\xff" * 7 + b"\x7fabc.", "it holds BINUNICODE8"),
        (b"\x96" + b"\xff" * 7 + b"\x7fabc.", "it holds BYTEARRAY8"),
        # A long text once, and many arrays of it.
        (
            b"V"
            + b"a" * 400_000
            + b"\np0\n"
            + (ARRAY + b"(I1\n(I100000\nt" + DTYPE + b"I00\ng0\ntb") * 9_000
            + b".",
            "an object that is not expected",
        ),
        # A key that cannot be hashed without ending the process.
        (b"})" + b"\x85" * 300_000 + b"K\x01s.", "a dictionary of other than numbers"),
        (b"]" + b"\x85" * 300_000 + b".", "neither an array"),
        (b"(d(dI0\nI1\nsb.", "an object that is not expected"),
        (b"cscipy.sparse.csr\ncsr_matrix\n(dS'fill'\nI1\nsb.", "an object that is not expected"),
        (b"cscipy.sparse.csr\ncsr_matrix\nN(dS'fill'\nI1\ns\x86b.", "an object that is not expected"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_hostile_file_takes_no_memory_and_changes_nothing(tmp_path, data, message):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()
    matrix = scipy.sparse.csr_matrix(np.eye(3, dtype=np.float32))
    assert (read(tmp_path, pickle.dumps(matrix, protocol=2)) != matrix).nnz == 0


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_planetoid(tmp_path / "ind.cora.x")
