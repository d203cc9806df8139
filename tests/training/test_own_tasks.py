"""Each kind of task, from data of one's own to a model that has learned what the labels follow from."""

import random
import sys
from pathlib import Path

import pytest

from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run

SMALL = {
    "epochs": 10,
    "feat_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "batch_size": 16,
    "lr": 1e-2,
    "warmup_epochs": 1,
    "attn_drop": 0.0,
    "message_passing": "gine",
}


@pytest.fixture
def learn(tmp_path, monkeypatch):
    """Return a function that caches the distances of a data set, trains on it and returns the result."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    def learn(dataset: str, data_options: DataOptions, **settings) -> dict:
        request = RunSpec(
            dataset=dataset,
            data_root=None,
            cache=str(tmp_path / "cache.h5"),
            folder=str(tmp_path / "run"),
            config=RunConfig().updated(SMALL | settings),
            seeds=(0,),
            data_options=data_options,
        )
        preprocess_graphs(request.load_dataset().graphs, request.cache, n_jobs=1)
        result = train_run(request)
        read_back = open_run(tmp_path / "run", trust=True)
        assert read_back.spec.data_options == data_options
        assert evaluate_runs(read_back)["mean"] == result["mean"]
        return result

    return learn


def molecules(number: int) -> list[tuple[int, str, bool]]:
    """Chains of carbon that end with nothing, N or O, some with a ring: (carbons, end, ring)."""
    draw = random.Random(5)
    return [(draw.randint(3, 12), draw.choice(["", "N", "O"]), draw.random() < 0.5) for _ in range(number)]


def write_csv(file: Path, header: str, rows: list[tuple[str, ...]]) -> str:
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return str(file)


def smiles(carbons: int, end: str, ring: bool) -> str:
    return "C" * carbons + ("C1CC1" if ring else "CCC") + end


def test_classes_that_are_words(learn, tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    word = {"": "alkane", "N": "amine", "O": "alcohol"}
    rows = [(smiles(*one), word[one[1]]) for one in molecules(150)]
    file = write_csv(tmp_path / "words.csv", "smiles,kind", rows)
    result = learn(file, DataOptions(target_columns=("kind",)))
    assert result["metric"] == "accuracy"
    assert result["mean"] > 90


def test_several_labels_some_of_them_missing(learn, tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    draw = random.Random(7)

    def cell(label: bool) -> str:
        return draw.choice(["", "nan"]) if draw.random() < 0.3 else str(int(label))

    rows = [(smiles(*one), cell(one[1] == "N"), cell(one[2])) for one in molecules(150)]
    file = write_csv(tmp_path / "labels.csv", "smiles,amine,ring", rows)
    result = learn(file, DataOptions(target_columns=("amine", "ring")))
    assert result["metric"] == "roc_auc"
    assert result["mean"] > 0.9


def test_two_numbers_some_of_them_missing(learn, tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    rows = [
        (smiles(*one), str(100 * one[0] + 0.5) if number % 5 else "", str(one[0] / 100) if number % 3 else "")
        for number, one in enumerate(molecules(150))
    ]
    file = write_csv(tmp_path / "numbers.csv", "smiles,y,z", rows)
    result = learn(file, DataOptions(target_columns=("y", "z")), epochs=20)
    assert result["metric"] == "mae"
    assert result["mean"] < 0.3 * result["predicting_the_mean"]


MODULE = """
import dgl, torch

def rings_and_chains():
    graphs = []
    for number in range(200):
        size, ring = 4 + number % 11, number % 3 == 0
        src = torch.arange(size if ring else size - 1)
        graph = dgl.to_bidirected(dgl.graph((src, (src + 1) % size), num_nodes=size))
        graph.ndata["feat"] = torch.ones(size, 2)
        graphs.append((graph, int(ring)))
    return graphs

def marked_nodes():
    graphs = [graph for graph, _ in rings_and_chains()]
    for number, graph in enumerate(graphs):
        generator = torch.Generator().manual_seed(number)
        graph.ndata["feat"] = torch.rand(graph.num_nodes(), 2, generator=generator)
        graph.ndata["label"] = (graph.ndata["feat"][:, 0] > graph.ndata["feat"][:, 1]).long()
    return graphs
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the current folder."""
    (tmp_path / "rings_and_marks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "rings_and_marks"
    sys.modules.pop("rings_and_marks", None)


def test_graphs_that_a_function_makes(learn, module):
    result = learn(f"{module}:rings_and_chains", DataOptions(task="binary"), message_passing="gin")
    assert (result["dataset"], result["metric"]) == (f"{module}.rings_and_chains", "roc_auc")
    assert result["mean"] > 0.95


def test_labels_of_nodes_that_a_function_makes(learn, module):
    result = learn(f"{module}:marked_nodes", DataOptions(), message_passing="gin")
    assert result["metric"] == "accuracy"
    assert result["mean"] > 90
