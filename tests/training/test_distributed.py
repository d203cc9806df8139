import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from rank_scenarios import SCENARIOS, outcome

from gradformer_dgl.cli import main
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.training import distributed
from gradformer_dgl.training.distributed import Ranks, joined_ranks
from gradformer_dgl.training.runs import train_run

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("gradformer-dgl")


def torchrun(*arguments, ranks=2):
    """Start processes that find each other on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks]
    return subprocess.run(
        [str(part) for part in (*launcher, *arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def start_ranks(*arguments):
    """Start two processes without a launcher, which ends the one that does not leave by itself."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [str(part) for part in (sys.executable, *arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=150)[1] for process in processes]
    return [process.returncode for process in processes], "".join(errors).splitlines()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Results of each of two ranks in every scenario."""
    folder = tmp_path_factory.mktemp("ranks")
    done = torchrun(HERE / "rank_scenarios.py", folder)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def numbers(tree):
    """Return the leaves of nested dicts and lists, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for part in tree for leaf in numbers(part)] if isinstance(tree, list) else [tree]


def agree(one, other, tolerance):
    return numbers(one) == pytest.approx(numbers(other), rel=tolerance, abs=tolerance, nan_ok=True)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("name", SCENARIOS)
def test_two_ranks_come_to_what_one_process_comes_to(shared, name, tmp_path):
    alone = outcome(name, tmp_path)
    assert shared[0][name] == shared[1][name]
    assert shared[0][name].keys() == alone.keys()
    for part in ("records", "val", "test"):
        assert agree(shared[0][name][part], alone[part], 1e-9)
    # A bias before a batch norm has no gradient but rounding, of which Adam makes a step.
    weights = ([run["weights"][key] for key in alone["weights"]] for run in (shared[0][name], alone))
    assert agree(*weights, 1e-8)


def test_the_loss_is_the_same_in_single_precision(shared, tmp_path):
    alone = outcome("missing targets", tmp_path)
    losses = [[record["train_loss"] for record in run["records"]] for run in (shared[0]["float32"], alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_graph_counts_once(shared, part):
    own = [rank["seen"][part]["own"] for rank in shared]
    assert all(own)
    assert sorted(own[0] + own[1]) == sorted(shared[0]["seen"][part]["all"])


def test_rounding_moves_the_weights_alone_that_a_norm_takes_away(shared, tmp_path):
    """Biases before a batch norm and of the keys have no gradient but rounding, which Adam scales up."""
    alone, together = outcome("missing targets", tmp_path)["weights"], shared[0]["float32"]["weights"]
    differ = {name for name in alone if not agree(together[name], alone[name], 1e-4)}
    ends = ("mlp.3.bias", "attention.out.bias", "attention.qkv.bias", "message_passing.self_weight.bias")
    followers = ("running_mean",)
    assert all(name.endswith((*ends, *followers)) for name in differ), differ


def test_an_interrupted_training_ends_like_an_uninterrupted_one(shared):
    for rank in shared:
        assert rank["resumed"] == rank["float32"]


def test_dropout_differs_between_ranks_and_can_be_repeated(shared):
    for rank in shared:
        assert rank["dropout"] == rank["dropout again"]
    assert shared[0]["dropout"] == shared[1]["dropout"]
    assert shared[0]["drawn"] != shared[1]["drawn"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_no_thread_of_a_training_outlives_it(shared):
    """One that lets go of a tensor while the interpreter ends would abort the process."""
    for rank in shared:
        assert rank["threads"]["names"]
        assert not [name for name in rank["threads"]["names"] if "gloo" in name]


def test_the_command_under_torchrun(request_for, shapes_cache, tmp_path):
    request = request_for(seeds=(0, 1), folder="alone", epochs=2, attn_drop=0.0)
    alone = train_run(request)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(request.config.as_dict()))
    options = ["--cache-dir", shapes_cache.parent, "--data-root", request.data_root, "--runs", 2]
    options += ["--out", tmp_path / "together", "--config", tmp_path / "settings.yaml"]
    done = torchrun(COMMAND, "train", "SHAPES", *options)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "together" / "result.json").read_text())
    assert result["mean"] == pytest.approx(alone["mean"])
    assert done.stderr.count("epoch 2/2") == 2
    for seed in ("seed-0", "seed-1"):
        folders = [tmp_path / run / seed for run in ("together", "alone")]
        lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in folders]
        losses = [[json.loads(line)["train_loss"] for line in curve] for curve in lines]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        files = [sorted(file.name.split(".")[0] for file in folder.iterdir()) for folder in folders]
        assert files[0] == files[1]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("all", "every rank sees this"),
        ("killed", "another process of this training was lost"),
    ],
)
def test_a_failure_ends_all_ranks_in_one_line(failure, message):
    status, lines = start_ranks(HERE / "rank_failures.py", failure)
    (line,) = lines
    assert status == [1, -signal.SIGKILL if failure == "killed" else 1]
    assert line.startswith("Error: ")
    assert message in line


def test_a_process_that_is_lost_while_the_others_connect(monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))

    def fail(*arguments, **options):
        raise RuntimeError("Gloo connectFullMesh failed with [transport/tcp/pair.cc:144] no error")

    monkeypatch.setattr(distributed, "_lost", [])
    meeting = iter([(torch.distributed.HashStore(), 0, 2)])
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *arguments, **options: meeting)
    monkeypatch.setattr(torch.distributed, "init_process_group", fail)
    with pytest.raises(RunError, match="another process of this training was lost"), joined_ranks():
        raise AssertionError("must not be reached")


def test_a_full_disk_ends_all_ranks_in_one_line(request_for, shapes_cache, tmp_path):
    options = ["--cache-dir", shapes_cache.parent, "--data-root", request_for().data_root]
    options += ["--out", tmp_path / "run", "--epochs", 1, "--encoding", "rwse:5"]
    status, lines = start_ranks(HERE / "full_disk.py", "-q", "train", "SHAPES", *options)
    (line,) = lines
    assert status == [1, 1]
    assert line.startswith("Error: ")
    assert "cannot be written" in line


@pytest.fixture
def of_two(monkeypatch):
    """Let the command believe that it is the second of two ranks."""
    monkeypatch.setattr(distributed, "joined_ranks", lambda: contextlib.nullcontext(Ranks(1, 2)))


@pytest.mark.usefixtures("of_two")
def test_torchrun_and_jobs_do_not_go_together(capfd):
    with pytest.raises(SystemExit, match="1"):
        main(["train", "SHAPES", "--jobs", "2"])
    assert capfd.readouterr().err == "Error: --jobs 2 does not go together with torchrun: leave it out\n"


def test_one_process_under_torchrun_is_alone(monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    with joined_ranks() as ranks:
        assert ranks == Ranks(0, 1)
        assert ranks.from_first(lambda: 7) == 7
        assert ranks.device("cuda:3") == "cuda:3"


def test_every_rank_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert Ranks(11, 16).device("cuda") == "cuda:3"
    assert chosen == [3]
    assert Ranks(11, 16).device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="each process takes a GPU of its own; use --device cuda"):
        Ranks(11, 16).device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="process 3 of this machine finds 2 GPUs"):
        Ranks(11, 16).device("cuda")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_cover_every_graph_once_and_cost_alike(size):
    costs = torch.randint(1, 1000, (41,), generator=torch.Generator().manual_seed(size))
    shares = [Ranks(rank, size).own_items(costs) for rank in range(size)]
    assert sorted(torch.cat(shares).tolist()) == list(range(41))
    loads = [int(costs[share].sum()) for share in shares]
    assert max(loads) - min(loads) <= int(costs.min()) + math.ceil(int(costs.sum()) / 41)


def test_more_ranks_than_graphs():
    shares = [Ranks(rank, 5).own_items(torch.tensor([3, 3])).tolist() for rank in range(5)]
    assert shares == [[0], [1], [], [], []]
