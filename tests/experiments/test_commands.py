import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gradformer_dgl.training.loop import Trainer


@pytest.fixture
def folders(place):
    """Options with the folders of `reproduce`."""
    paths = {"out": place.out, "work": place.work, "cache-dir": place.cache_dir, "data-root": place.data_root}
    return [part for name, path in paths.items() for part in (f"--{name}", path)]


def test_reproduce_writes_a_table_and_renders_it_again(command, folders, place, monkeypatch):
    asked = ("reproduce", "--datasets", "SHAPES", "--models", "gradformer,gin", "--epochs", "1")
    done = command(*asked, *folders, "--runs", "2")
    assert done.status == 0, done.err
    file = place.out / "main.md"
    assert done.out.splitlines()[-1] == str(file)
    assert "[4/4] SHAPES published,epochs=1 gin seed 1: test accuracy" in done.err
    before = file.read_text()
    assert "gradformer against gin" in before
    file.unlink()
    monkeypatch.setattr(Trainer, "__init__", None)
    again = command(*asked, "--out", place.out, "--render-only")
    assert again.status == 0, again.err
    assert again.err == ""
    assert file.read_text() == before
    finished = command(*asked, *folders, "--runs", "2")
    assert "4 of 4 are done" in finished.err
    assert command("-q", *asked, *folders, "--runs", "2").err == ""


def test_reproduce_with_folds(command, folders, place):
    asked = ("reproduce", "--datasets", "SHAPES", "--models", "gin", "--epochs", "1")
    done = command(*asked, *folders, "--runs", "1", "--folds", "3")
    assert done.status == 0, done.err
    assert "| 1 x 3 | 1 of 100 |" in (place.out / "main-3-folds.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--table", "mian"], 2, "'mian' is not one of 'main'"),
        (["--models", "gps"], 1, "model is one of gradformer"),
        (["--datasets", "NCI-1"], 1, "there is no data set 'NCI-1'; did you mean NCI1"),
        (["--datasets", "/NCI1"], 1, "'/NCI1' is no name of a data set: did you mean NCI1?"),
        (["--folds", "10", "--table", "depth"], 1, "--folds goes with --table main, not with depth"),
        (["--folds", "2"], 2, "2 is not in the range x>=3"),
        (["--render-only"], 1, "holds no results of this table"),
        (["--render-only", "--device", "cuda"], 1, "holds no results of this table"),
        (["--device", "gpu"], 1, "the device is auto, cpu, cuda or cuda:N, not 'gpu'"),
    ],
)
def test_mistakes_in_reproduce(command, folders, arguments, status, message):
    done = command("reproduce", *folders, "--epochs", "1", *arguments)
    assert done.status == status
    assert message in done.err
    assert "Traceback" not in done.err
    if status == 1:
        assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interruption_leaves_what_can_be_resumed(folders, place, jobs):
    asked = ["reproduce", "--datasets", "SHAPES", "--models", "gin", "--epochs", "100000", "--runs", "2"]
    run = [sys.executable, "-c", "from gradformer_dgl.cli import main; main()"]
    process = subprocess.Popen(
        [*run, *asked, *map(str, folders), "--jobs", jobs],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        # Whoever runs the tests in the background may have interruptions ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoints = place.work / "SHAPES" / "published,epochs=100000" / "gin"
    try:
        while not list(checkpoints.glob("*/checkpoint.safetensors")) and process.poll() is None:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in err
    assert out == ""
    assert list(checkpoints.glob("*/checkpoint.safetensors"))
    assert not list(place.out.glob("**/*.lock"))


def test_tune_and_train_with_what_it_found(command, place, tmp_path):
    common = ("SHAPES", "--data-root", place.data_root, "--cache-dir", place.cache_dir)
    small = ("--num-layers", "1", "--epochs", "2")
    search = ("tune", *common, *small, "--out", tmp_path / "tune", "--seeds", "2")
    done = command(*search, "--trials", "2")
    assert done.status == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert result["trials"] == 2
    assert "num_layers" not in result["settings"]
    assert "[2/2] trial 1: validation accuracy" in done.err
    assert "test" not in done.out.replace(str(tmp_path), "")
    assert result["seeds"] == [0, 1]
    others = command(*search, "--trials", "2", "--first-seed", "10")
    assert others.err == (
        f"Error: {tmp_path / 'tune'} holds a search with other settings: choose another --out\n"
    )
    more = command(*search, "--trials", "3")
    assert json.loads(more.out)["trials"] == 3
    assert "2 of 3 are done" in more.err
    trained = command("train", *common, "--config", result["config"], "--out", tmp_path / "run")
    assert trained.status == 0, trained.err
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert f"lr: {json.loads(more.out)['settings']['lr']}" in written
    assert "num_layers: 1\n" in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MUTAGG"], "there is no data set 'MUTAGG'"),
        (["SHAPES", "--space", "none.yaml"], "no file none.yaml"),
        (["SHAPES", "--space", "space.yaml", "--gamma", "0.5"], "every setting of the search space is fixed"),
        (["SHAPES", "--space", "space.yaml"], "gamma lies between"),
    ],
)
def test_mistakes_in_tune(command, place, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("gamma: [0.5, 7.0]\n")
    done = command("tune", *arguments, "--data-root", place.data_root, "--cache-dir", place.cache_dir)
    assert done.status == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_tune_says_what_it_needs(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = command("tune", "NCI1")
    assert (done.status, done.err) == (1, "Error: tune needs Optuna: pip install gradformer-dgl[tune]\n")


def test_help_of_the_commands_is_light():
    for name in ("reproduce", "tune"):
        code = (
            "import sys\nfrom gradformer_dgl.cli import main\n"
            f"try:\n    main([{name!r}, '--help'])\nexcept SystemExit:\n    pass\n"
            "print([name for name in ('torch', 'dgl', 'optuna', 'matplotlib') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"
