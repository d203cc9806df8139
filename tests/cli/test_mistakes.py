"""Each mistake of a user is one line on stderr and exit status 1."""

import os
import shutil
import subprocess
import sys

import h5py
import pytest
import torch


@pytest.fixture
def mistake(command):
    """Return a function that runs a command, checks the manners of its failure and returns the message."""

    def run(*arguments) -> str:
        done = command(*arguments)
        assert done.status == 1, done
        assert done.out == ""
        lines = done.err.splitlines()
        assert len(lines) == 1, done.err
        assert lines[0].startswith("Error: ")
        return lines[0]

    return run


def test_no_such_data_set(mistake, raw):
    assert "did you mean MUTAG" in mistake("preprocess", "MUTAGG", "--data-root", raw)


def test_missing_raw_file(mistake, raw):
    (raw / "SHAPES" / "SHAPES_graph_indicator.txt").unlink()
    assert "SHAPES_graph_indicator.txt" in mistake("preprocess", "SHAPES", "--data-root", raw)


def test_a_zip_that_is_none(mistake, raw):
    shutil.rmtree(raw / "SHAPES")
    (raw / "SHAPES").mkdir()
    (raw / "SHAPES" / "SHAPES.zip").write_bytes(b"PK\x03\x04 no more than that")
    assert "SHAPES.zip" in mistake("preprocess", "SHAPES", "--data-root", raw)


def test_an_edge_to_a_missing_node(mistake, raw):
    with (raw / "SHAPES" / "SHAPES_A.txt").open("a") as file:
        file.write("1, 99999\n")
    message = mistake("preprocess", "SHAPES", "--data-root", raw)
    assert "SHAPES_A.txt" in message
    assert "99999" in message


def test_a_label_file_too_short(mistake, raw):
    file = raw / "SHAPES" / "SHAPES_graph_labels.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:-3]) + "\n")
    message = mistake("preprocess", "SHAPES", "--data-root", raw)
    assert "SHAPES_graph_labels.txt" in message
    assert "94" in message


def test_a_missing_cache(mistake, raw, tmp_path):
    message = mistake("train", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path / "none")
    assert "SHAPES.h5" in message
    assert "preprocess" in message


@pytest.mark.parametrize("where", ["info", "train"])
def test_a_truncated_cache(mistake, raw, cached, where):
    cached.write_bytes(cached.read_bytes()[:-1500])
    assert "SHAPES.h5" in use(mistake, where, raw, cached)


def use(mistake, where, raw, cached):
    if where == "info":
        return mistake("info", cached, "--verify")
    return mistake("train", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent, "--epochs", "1")


@pytest.mark.parametrize("where", ["info", "train"])
@pytest.mark.parametrize("name", ["distances", "node_counts", "encodings/rwse:20"])
def test_a_flipped_byte_in_the_cache(mistake, raw, cached, name, where):
    with h5py.File(cached) as file:
        chunk = file[name].id.get_chunk_info(0)
    content = bytearray(cached.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    cached.write_bytes(content)
    assert "SHAPES.h5" in use(mistake, where, raw, cached)


def test_a_cache_of_other_data(mistake, raw, cached):
    file = raw / "SHAPES" / "SHAPES_A.txt"
    file.write_text("\n".join(file.read_text().splitlines()[2:]) + "\n")
    assert "graph 0" in use(mistake, "train", raw, cached)


def test_labels_of_one_class(mistake, raw, cached):
    (raw / "SHAPES" / "SHAPES_graph_labels.txt").write_text("5\n" * 97)
    message = use(mistake, "train", raw, cached)
    assert "all labels of SHAPES are of one class; a multiclass task needs two" in message
    assert not (cached.parent / "runs").exists()


@pytest.mark.parametrize("where", ["info", "train"])
def test_a_cache_of_a_newer_format(mistake, raw, cached, where):
    with h5py.File(cached, "r+") as file:
        file.attrs["encoding-version"] = type(file.attrs["encoding-version"])("99")
    assert "newer" in use(mistake, where, raw, cached)


def test_something_else_than_a_cache(mistake, tmp_path):
    (tmp_path / "a.h5").write_text("no HDF5")
    assert "a.h5" in mistake("info", tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1, 2]
    assert "b.h5" in mistake("info", tmp_path / "b.h5")
    assert "absent.h5" in mistake("info", tmp_path / "absent.h5")


def test_a_missing_encoding(mistake, raw, cached):
    message = mistake(
        "train", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent, "--encoding", "lappe:4"
    )
    assert "--encodings lappe:4" in message


def test_an_encoding_that_does_not_exist(mistake, raw, tmp_path):
    message = mistake(
        "preprocess", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path, "--encodings", "rwes:4"
    )
    assert "rwse" in message


def test_a_sparse_cache_to_train_on(mistake, command, raw, tmp_path):
    where = ("SHAPES", "--data-root", raw, "--cache-dir", tmp_path)
    assert "give it (--max-distance" in mistake("preprocess", *where, "--layout", "sparse")
    assert command("preprocess", *where, "--layout", "sparse", "--max-distance", "2").status == 0
    options = ("--out", tmp_path / "run", "--epochs", "1", "--threads", "1")
    assert command("train", *where, *options).status == 0
    assert "a dense cache" in mistake("train", *where, *options, "--overwrite", "--model", "graphormer")


def test_options_of_preprocess_that_do_not_go_together(mistake, raw, tmp_path):
    where = ("preprocess", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path)
    assert "need edge weights" in mistake(*where, "--extra-distances", "weighted")
    assert "no extra distance 'hamming'" in mistake(*where, "--extra-distances", "hamming")
    assert "goes with the backend dask or ray" in mistake(*where, "--scheduler", "tcp://127.0.0.1:1")


def test_a_run_folder_without_checkpoint(mistake, command, raw, cached, tmp_path):
    options = ("--data-root", raw, "--cache-dir", cached.parent, "--out", tmp_path / "run")
    assert command("train", "SHAPES", *options, "--epochs", "1", "--threads", "1").status == 0
    (tmp_path / "run" / "seed-0" / "weights.safetensors").unlink()
    assert "weights.safetensors" in mistake("evaluate", tmp_path / "run")
    assert "not a run folder" in mistake("evaluate", tmp_path)


def test_weights_and_checkpoints_that_are_not_those_written(mistake, command, raw, cached, tmp_path):
    run = tmp_path / "run"
    train = (
        "train",
        "SHAPES",
        "--data-root",
        raw,
        "--cache-dir",
        cached.parent,
        "--out",
        run,
        "--epochs",
        "2",
    )
    assert command(*train).status == 0

    def flip(name):
        file = run / "seed-0" / name
        content = bytearray(file.read_bytes())
        # Within the last tensor.
        content[-1] ^= 1 << 3
        file.write_bytes(content)

    flip("weights.safetensors")
    message = "weights.safetensors is broken (its content is not what was written)"
    assert message in mistake("predict", run, raw / "SHAPES", "-o", tmp_path / "out.csv")
    assert message in mistake("evaluate", run)
    # A line for the picture that is left out, and one that there is no other.
    drawn = command("plot", run, "--only", "predictions")
    assert drawn.status == 1
    assert message in drawn.err
    flip("checkpoint.safetensors")
    assert "checkpoint.safetensors is broken (its content is not what" in mistake(
        *train, "--epochs", "2", "--resume"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_where_there_is_none(mistake, raw, cached):
    options = ("--data-root", raw, "--cache-dir", cached.parent)
    assert "finds no CUDA GPU here" in mistake("train", "SHAPES", *options, "--device", "cuda")
    assert "the device is auto, cpu, cuda or cuda:N, not 'gpu'" in mistake(
        "train", "SHAPES", *options, "--device", "gpu"
    )


def test_settings_without_sense(mistake, raw, cached, tmp_path):
    options = ("train", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent)
    assert "gamma lies between" in mistake(*options, "--gamma", "1.5")
    assert "no preset 'nope'" in mistake(*options, "--preset", "nope")
    (tmp_path / "wrong.yaml").write_text("epoch: 3")
    assert "did you mean epochs" in mistake(*options, "--config", tmp_path / "wrong.yaml")


def test_a_folder_that_cannot_be_made(mistake, raw, cached, tmp_path):
    (tmp_path / "file").write_text("")
    options = ("--data-root", raw, "--cache-dir", cached.parent, "--epochs", "1")
    assert "file" in mistake("train", "SHAPES", *options, "--out", tmp_path / "file" / "run")
    assert "file" in mistake(
        "preprocess", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path / "file" / "c"
    )


def test_a_disk_that_fills_up(raw, cached):
    """The old cache stays, and the error is one line."""
    before = cached.read_bytes()
    code = (
        "import resource, sys\n"
        "from gradformer_dgl.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "main(sys.argv[1:])"
    )
    arguments = ["-q", "preprocess", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), "--encodings", "rwse:7", "--jobs", "1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cached.parent / "numba")},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert cached.read_bytes() == before
