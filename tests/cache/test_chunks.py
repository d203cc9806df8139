import sys
import zlib

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from gradformer_dgl.cache import chunks
from gradformer_dgl.cache.chunks import ChecksumError, decode_chunk, encode_chunk, encode_rows, fletcher32
from gradformer_dgl.cache.format import ArrayLayout


def hdf5_fletcher32(data):
    """HDF5's own checksum, from the last four bytes of a chunk that it wrote."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset(
            "x", data=np.frombuffer(data, np.uint8), chunks=(len(data),), fletcher32=True
        )
        return int.from_bytes(dataset.id.read_direct_chunk((0,))[1][-4:], "little")


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=997))
def test_checksum_is_that_of_hdf5(data):
    assert fletcher32(data) == hdf5_fletcher32(data)


@pytest.mark.parametrize(
    "data", [b"\0" * 7, b"\xff" * 8, b"\xff\xff" * 70001, bytes(range(256)) * 521 + b"x"]
)
def test_checksum_at_its_corners(data):
    assert fletcher32(data) == hdf5_fletcher32(data)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(23, dtype=np.uint8),
        np.arange(23, dtype=np.uint16),
        np.random.default_rng(0).random((23, 5)).astype(np.float32),
    ],
)
@pytest.mark.parametrize("encoder", ["isal", "zlib"])
def test_hdf5_reads_what_we_encode_and_we_what_it_encodes(values, encoder, monkeypatch, tmp_path):
    if encoder == "zlib":
        monkeypatch.setattr(chunks, "isal_zlib", None)
    elif chunks.isal_zlib is None:
        pytest.skip("the package isal is not installed")
    layout = ArrayLayout("x", values.dtype, values.shape)
    options = {
        "chunks": layout.chunk_shape,
        "compression": "gzip",
        "shuffle": layout.shuffled,
        "fletcher32": True,
    }
    with h5py.File(tmp_path / "x.h5", "w") as file:
        ours = file.create_dataset("ours", values.shape, values.dtype, **options)
        ours.id.write_direct_chunk((0,) * values.ndim, encode_chunk(layout, values))
        theirs = file.create_dataset("theirs", data=values, **options)
        np.testing.assert_array_equal(ours[:], values)
        np.testing.assert_array_equal(
            decode_chunk(layout, theirs.id.read_direct_chunk((0,) * values.ndim)[1]), values
        )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_rows_in_pieces_make_the_chunks_of_the_whole(first, second, third):
    sizes = [first, second, third]
    rows = np.arange(sum(sizes), dtype=np.float32)
    layout = ArrayLayout("x", rows.dtype, (1 << 20,))
    layout.__dict__["chunk_rows"] = 64
    layout.__dict__["chunk_shape"] = (64,)
    start = 0
    found = []
    for size in sizes:
        part = encode_rows(layout, start, rows[start : start + size])
        assert (start + len(part.head)) % 64 == 0 or not part.chunks
        found += [part.head, *(decode_chunk(layout, chunk) for chunk in part.chunks), part.tail]
        start += size
    np.testing.assert_array_equal(np.concatenate(found), rows)


def test_every_flipped_bit_is_found():
    values = np.random.default_rng(1).integers(0, 9, 211).astype(np.uint8)
    layout = ArrayLayout("x", values.dtype, values.shape)
    data = encode_chunk(layout, values)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ChecksumError):
            decode_chunk(layout, bytes(broken))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no stream",
        zlib.compress(b"too short"),
        zlib.compress(bytes(10**7)),
        zlib.compress(bytes(211))[:-1],
    ],
)
def test_a_right_checksum_over_wrong_data_is_found(payload):
    layout = ArrayLayout("x", np.dtype(np.uint8), (211,))
    with pytest.raises(ChecksumError):
        decode_chunk(layout, payload + fletcher32(payload).to_bytes(4, "little"))


def test_importing_the_cache_loads_neither_torch_nor_dgl_nor_numba():
    import subprocess

    code = (
        "import sys, gradformer_dgl.cache; print([m for m in ('torch', 'dgl', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
