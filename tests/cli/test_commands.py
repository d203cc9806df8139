import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cli import preprocess
from gradformer_dgl.preprocess import parallel


def test_preprocess_then_again(command, raw, cached):
    again = command("preprocess", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent)
    assert again.status == 0
    assert "is current" in again.err
    assert "97 graphs" in again.out


def test_preprocess_takes_processes_other_distances_and_the_sparse_layout(command, raw, tmp_path):
    common = ("preprocess", "SHAPES", "--data-root", raw, "--encodings", "degree")
    other = command(
        *common, "--cache-dir", tmp_path / "a", "--extra-distances", "resistance", "--backend", "loky"
    )
    assert other.status == 0, other.err
    cache = DistanceCache(tmp_path / "a" / "SHAPES.h5")
    assert (cache.extra_distances, cache.encodings) == (("resistance",), ("degree:2",))
    sparse = ("--layout", "sparse", "--max-distance", "2")
    near = command(*common, "--cache-dir", tmp_path / "b", *sparse)
    assert near.status == 0, near.err
    cache = DistanceCache(tmp_path / "b" / "SHAPES.h5")
    assert (cache.layout, cache.max_distance) == ("sparse", 2)
    assert cache.neighborhood(0).distances.max() == 2


def test_the_choices_of_preprocess_are_those_of_the_package():
    assert preprocess.LAYOUTS == cache_format.LAYOUTS
    assert preprocess.BACKENDS == parallel.BACKENDS


def test_info_shows_what_is_inside(command, cached):
    done = command("info", cached, "--verify", "--json")
    facts = json.loads(done.out)
    assert facts["graphs"] == 97
    assert facts["verified"] == "all checksums agree"
    shown = command("info", cached)
    assert "rwse:20" in shown.out
    assert shown.status == 0


def test_train_and_evaluate(command, raw, cached, tmp_path):
    options = ("--data-root", raw, "--cache-dir", cached.parent, "--out", tmp_path / "run")
    done = command("train", "SHAPES", *options, "--epochs", "2", "--runs", "2", "--threads", "1")
    assert done.status == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert result == json.loads((tmp_path / "run" / "result.json").read_text())
    assert "epoch 2/2" in done.err
    again = json.loads(command("evaluate", tmp_path / "run").out)
    assert again["mean"] == result["mean"]
    again = ("train", "SHAPES", *options, "--epochs", "2", "--runs", "2", "--threads", "1", "--resume")
    quiet = command("-q", *again)
    assert (quiet.status, quiet.err) == (0, "")
    both = command(*again, "--overwrite")
    assert both.status == 2
    assert "--resume goes on with the run that --overwrite replaces: give one of them" in both.err
    verbose = command("-v", *again)
    assert re.search(r"seed 0: [\d,]+ parameters on cpu; 77 train, 9 val, 11 test\n", verbose.err)
    assert "seed 1 resumes after epoch 2" in verbose.err


def test_options_go_over_the_file_and_the_file_over_the_preset(command, raw, cached, tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 2\nfeat_size: 8\n")
    options = ("--data-root", raw, "--cache-dir", cached.parent, "--out", tmp_path / "run")
    config = ("--config", tmp_path / "mine.yaml", "--epochs", "1", "--no-learn-hop", "--threads", "1")
    assert command("train", "SHAPES", *options, *config).status == 0
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert "epochs: 1\n" in written
    assert "feat_size: 8\n" in written
    assert "learn_hop: false\n" in written
    assert "batch_size: 128\n" in written


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "Error: interrupted"), (signal.SIGTERM, 143, "Error: terminated")],
)
def test_an_interruption_ends_all_processes_in_one_line(
    raw, cached, tmp_path, group_ends, number, status, said
):
    options = ["--data-root", raw, "--cache-dir", cached.parent, "--out", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from gradformer_dgl.cli import main; main()"]
        + [str(part) for part in ("train", "SHAPES", *options, "--epochs", 90000, "--runs", 2, "--jobs", 2)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a script, they and their children ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (tmp_path / "run" / "seed-1" / "checkpoint.safetensors").exists():
            assert process.poll() is None
            time.sleep(0.1)
        # A terminal interrupts all of them, a manager of jobs asks the one that it started.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        out, err = process.communicate()
        assert process.returncode == status
        assert out == ""
        assert err.strip().splitlines() == [said]
        assert group_ends(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_settings_without_effect_are_told(command, raw, cached, tmp_path):
    run = ("train", "SHAPES", "--data-root", raw, "--cache-dir", cached.parent, "--out", tmp_path / "run")
    (tmp_path / "mine.yaml").write_text("model: gin\nslope: 0.5\nattn_drop: 0.5\nencoding: none\n")
    given = ("--config", tmp_path / "mine.yaml", "--wl-rounds", "3", "--feat-size", "16", "--epochs", "1")
    done = command(*run, *given)
    (line,) = [line for line in done.err.splitlines() if "without effect" in line]
    # The dropout of attention is that of the preset.
    assert line == (
        "without effect: wl_rounds (the model is gin, not wl), slope (the model gin has no attention)"
    )
    done = command(*run, "--overwrite", "--epochs", "1", "--encoding", "none", "--gamma", "0.5")
    assert "without effect" not in done.err
