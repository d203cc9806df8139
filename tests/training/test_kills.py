"""A training that is killed, again and again, ends with the numbers of one that was left alone.

``KILLS=50`` kills each of the scenarios so often, and at every moment of writing.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import killable
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from gradformer_dgl.data import load_dataset
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.training.tensor_files import load_tensors

KILLS = int(os.environ.get("KILLS", "0"))
COMMON = "--epochs 14 --feat-size 16 --num-layers 2 --num-heads 2 --batch-size 17 --encoding rwse:5"
SCENARIOS = {
    "averaged": "--runs 2 --ema-decay 0.9 --dropout 0.2 --drop-path 0.1 --optimizer adam",
    "patient": "--seed 3 --lr 0.02 --patience 3 --monitor loss",
}
IMPORTED_LATE = ("torch._dynamo", "torch.utils.tensorboard.writer", "matplotlib.backends.backend_agg")
SIDE_BY_SIDE = "--runs 3 --jobs 2 --ema-decay 0.5"


@pytest.fixture(scope="module")
def forks():
    """Processes that need not import anything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killable", "gradformer_dgl.training.runs", *IMPORTED_LATE])
    return context


@pytest.fixture
def start(forks, shapes_root, shapes_cache, tmp_path):
    """Return a function that begins a training, or goes on with it, in a process of its own."""

    def begin(folder: str, scenario: str, *options: str, moment: int | None = None, full=False):
        where = ["--data-root", str(shapes_root), "--cache-dir", str(shapes_cache.parent)]
        where += ["--out", str(tmp_path / folder), "--device", "cpu"]
        arguments = ["train", "SHAPES", *where, *COMMON.split(), *scenario.split(), "--resume", *options]
        process = forks.Process(target=killable.run, args=(arguments, str(tmp_path / "said"), moment, full))
        process.start()
        return process

    return begin


def finished(process, tmp_path) -> int:
    process.join(240)
    assert process.exitcode in (0, -signal.SIGKILL), (tmp_path / "said").read_text()
    return process.exitcode


def epochs_in(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("seed-*/metrics.jsonl"))


def wait_for_a_moment(process, folder: Path, draw: random.Random) -> None:
    """Wait for some moment of the start, or of the training."""
    if draw.random() < 0.2:
        process.join(draw.uniform(0, 1))
        return
    before = epochs_in(folder)
    while epochs_in(folder) <= before and process.exitcode is None:
        time.sleep(0.002)
    process.join(draw.uniform(0, 0.25))


def without_times(facts):
    if isinstance(facts, dict):
        return {name: without_times(value) for name, value in facts.items() if name != "seconds"}
    return [without_times(value) for value in facts] if isinstance(facts, list) else facts


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Everything that TensorBoard would read, doubled lines too."""
    found = []
    for file in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(file)).Load():
            found += [(value.tag, event.step, value.tensor.float_val[0]) for value in event.summary.value]
    return sorted(one for one in found if one[0] != "seconds")


def assert_same_runs(whole: Path, killed: Path, shapes_root: Path) -> None:
    names = {file.relative_to(killed).parent / file.name.split(".")[0] for file in killed.rglob("*.*")}
    assert names == {file.relative_to(whole).parent / file.name.split(".")[0] for file in whole.rglob("*.*")}
    results = [without_times(json.loads((folder / "result.json").read_text())) for folder in (whole, killed)]
    assert results[0] == results[1]
    assert (whole / "config.yaml").read_text() == (killed / "config.yaml").read_text()
    for folder in whole.glob("seed-*"):
        other = killed / folder.name
        assert (folder / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
        lines = [(one / "metrics.jsonl").read_text().splitlines() for one in (folder, other)]
        assert [without_times(json.loads(line)) for line in lines[0]] == [
            without_times(json.loads(line)) for line in lines[1]
        ]
        assert scalars(folder) == scalars(other)
        assert len(scalars(folder)) == len({one[:2] for one in scalars(folder)}) >= 4 * len(lines[0])
        ends = [load_tensors(one / "checkpoint.safetensors") for one in (folder, other)]
        assert ends[0][0].keys() == ends[1][0].keys()
        assert all(torch.equal(tensor, ends[1][0][name]) for name, tensor in ends[0][0].items())
        assert without_times(ends[0][1]) == without_times(ends[1][1])
    graphs = load_dataset("SHAPES", shapes_root).graphs
    predicted = [Predictor.from_run(folder).predict(graphs) for folder in (whole, killed)]
    assert torch.equal(*predicted)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_time(start, scenario, shapes_root, tmp_path):
    whole, options = start("whole", SCENARIOS[scenario]), SCENARIOS[scenario]
    assert finished(whole, tmp_path) == 0
    draw, killed, ended = random.Random(KILLS), 0, 0
    while killed < (KILLS or 2):
        process = start(f"killed-{ended}", options)
        wait_for_a_moment(process, tmp_path / f"killed-{ended}", draw)
        process.kill()
        if finished(process, tmp_path) == 0:
            ended += 1
        else:
            killed += 1
    assert finished(start(f"killed-{ended}", options), tmp_path) == 0
    for number in range(ended + 1):
        assert_same_runs(tmp_path / "whole", tmp_path / f"killed-{number}", shapes_root)


def test_killed_while_a_file_is_written(start, shapes_root, tmp_path):
    options = SCENARIOS["averaged"] + " --epochs 3"
    assert finished(start("whole", options), tmp_path) == 0
    moments = range(10**6) if KILLS else (3, 7)
    for moment in moments:
        # The folder of before goes on to be killed at the next moment.
        if finished(start("killed", options, moment=moment), tmp_path) == 0:
            break
    assert finished(start("killed", options), tmp_path) == 0
    assert_same_runs(tmp_path / "whole", tmp_path / "killed", shapes_root)


def test_a_full_disk_loses_nothing(start, shapes_root, tmp_path):
    options = SCENARIOS["patient"]
    process = start("killed", options, moment=9, full=True)
    process.join(240)
    said = (tmp_path / "said").read_text().splitlines()
    assert process.exitcode == 1
    (line,) = [line for line in said if not line.startswith("seed 3")]
    # Which file it is depends on the epoch of the best score, and so on the processor's rounding.
    file, _, reason = line.removeprefix(f"Error: {tmp_path}/killed/seed-3/").partition(" ")
    assert file in ("checkpoint.safetensors", "weights.safetensors")
    assert reason == "cannot be written: [Errno 28] No space left on device"
    for folder in ("killed", "whole"):
        assert finished(start(folder, options), tmp_path) == 0
    assert_same_runs(tmp_path / "whole", tmp_path / "killed", shapes_root)


def test_one_at_a_time_in_a_folder(start, tmp_path):
    with exclusive(tmp_path / "run"):
        process = start("run", SCENARIOS["averaged"])
        process.join(240)
    assert process.exitcode == 1
    assert f"is being written by process {os.getpid()}" in (tmp_path / "said").read_text()
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not KILLS, reason="takes a minute: KILLS=1 runs it")
def test_killed_beside_its_processes(shapes_root, shapes_cache, tmp_path, group_ends):
    """Its processes end with it, and do not write into the folder of the next run."""

    def begin(folder):
        where = ["--data-root", shapes_root, "--cache-dir", shapes_cache.parent, "--out", tmp_path / folder]
        options = [*COMMON.split(), *SIDE_BY_SIDE.split(), "--resume"]
        with (tmp_path / "said").open("a") as said:
            return subprocess.Popen(
                [sys.executable, killable.__file__, "train", "SHAPES", *map(str, where), *options],
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    folder, draw = tmp_path / "killed", random.Random(KILLS)
    groups, killed = [], 0
    while killed < KILLS:
        process = begin("killed")
        groups.append(process.pid)
        before = epochs_in(folder)
        while epochs_in(folder) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL), (tmp_path / "said").read_text()
        killed += process.returncode != 0
    assert begin("killed").wait() == 0, (tmp_path / "said").read_text()
    assert all(group_ends(group) for group in groups)
    assert begin("whole").wait() == 0
    assert_same_runs(tmp_path / "whole", tmp_path / "killed", shapes_root)


def test_processes_end_with_the_one_that_is_killed(group_ends):
    code = (
        "import multiprocessing, time, gradformer_dgl.support.parent_watchdog as watchdog\n"
        "def work():\n    watchdog.end_with_parent()\n    print('at work', flush=True)\n    time.sleep(600)\n"
        "multiprocessing.get_context('fork').Process(target=work).start()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "at work\n"
    process.kill()
    # Its end closes the pipe, which the child holds too.
    assert process.communicate(timeout=60)[0] == ""
    assert group_ends(process.pid)
