import csv
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.outputs import predict
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.seed_files import WEIGHTS
from gradformer_dgl.training.tensor_files import load_tensors

SMALL = {"epochs": 1, "feat_size": 8, "num_layers": 2, "num_heads": 2, "batch_size": 16, "lr": 1e-2}
MODULE = """
import dgl, torch

def graphs_of(number):
    generator = torch.Generator().manual_seed(number)
    made = []
    for size in (4 + torch.randint(9, (number,), generator=generator)).tolist():
        ends = torch.arange(size), (torch.arange(size) * 2 + 1) % size
        made.append(dgl.to_bidirected(dgl.graph(ends)))
    return made

def marked_nodes(number=60):
    graphs = graphs_of(number)
    for place, graph in enumerate(graphs):
        generator = torch.Generator().manual_seed(place)
        graph.ndata["feat"] = torch.rand(graph.num_nodes(), 3, generator=generator)
        graph.ndata["label"] = (graph.ndata["feat"][:, 0] > 0.5).long() * 2
    return graphs

def degrees(number=60):
    return [(graph, float(graph.num_nodes() % 2)) for graph in graphs_of(number)]
"""


@dataclass
class Run:
    """A trained run and what it was trained on."""

    request: RunSpec

    @property
    def folder(self) -> Path:
        return Path(self.request.folder)

    def expected(self, seed: int) -> Tensor:
        """Predictions for the training data with the data set's own cache, through the trainer."""
        dataset = self.request.open_dataset()
        folder = self.request.seed_folder(seed)
        trainer = Trainer(dataset, self.request.config, seed, folder)
        trainer.scored.load(load_tensors(folder / WEIGHTS)[0])
        outputs = predict(trainer.scored, trainer.loader, torch.arange(len(dataset)), 37)
        if dataset.task == "multiclass":
            return torch.exp(outputs) / torch.exp(outputs).sum(1, keepdim=True)
        if dataset.task == "regression":
            buffers = dict(trainer.scored.named_buffers())
            return outputs * buffers["target_deviation"] + buffers["target_mean"]
        return 1 / (1 + torch.exp(-outputs))


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder with a CSV file of molecules and a Python module, where runs are trained."""
    folder = tmp_path_factory.mktemp("prediction")
    draw = random.Random(3)
    rows = []
    for number in range(60):
        carbons, end, ring = draw.randint(2, 9), draw.choice(["", "N", "O"]), draw.random() < 0.5
        smiles = "C" * carbons + ("C1CC1" if ring else "CC=C") + end
        kind = {"": "hydrocarbon", "N": "amine", "O": "alcohol"}[end]
        half = "" if number == 4 else 100 * carbons + 0.5
        rows.append([smiles, half, 1e-3 * carbons + 7.25, int(end == "N"), int(ring), kind])
    with (folder / "molecules.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["SMILES", "mass", "shift", "amine", "ring", "kind"])
        writer.writerows(rows)
    (folder / "graphs_to_predict.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="session")
def trained(workplace, shapes_root):
    """Return a function that trains a small run once, and returns it then."""
    runs: dict[str, Run] = {}

    def train(name: str, dataset: str, options: DataOptions, seeds=(0,), cache=None, **settings) -> Run:
        if name in runs:
            return runs[name]
        request = RunSpec(
            dataset=dataset,
            data_root=str(shapes_root),
            cache=str(workplace / f"{name}.h5"),
            folder=str(workplace / name),
            config=RunConfig().updated(SMALL | settings),
            seeds=seeds,
            data_options=options,
        )
        config = request.config
        preprocess_graphs(
            request.load_dataset().graphs,
            request.cache,
            n_jobs=1,
            encodings=config.encodings,
            extra_distances=config.extra_distances,
            **(cache or {}),
        )
        train_run(request)
        runs[name] = Run(request)
        return runs[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        patch.setenv("XDG_CACHE_HOME", str(workplace / "home"))
        patch.setattr(sys, "path", [str(workplace), *sys.path])
        yield train
    sys.modules.pop("graphs_to_predict", None)


@pytest.fixture
def molecule_run(workplace, trained):
    """Return a function that trains on columns of the CSV file."""
    pytest.importorskip("rdkit", reason="RDKit is not installed")

    def train(*targets, seeds=(0,), **settings) -> Run:
        name = "-".join((*targets, *map(str, settings.values())))
        options = DataOptions(target_columns=targets)
        return trained(
            name, str(workplace / "molecules.csv"), options, seeds, message_passing="gine", **settings
        )

    return train


@pytest.fixture
def shapes_run(trained):
    """Return a function that trains on SHAPES, with two seeds."""

    def train(name="shapes", seeds=(0, 1), cache=None, **settings) -> Run:
        return trained(name, "SHAPES", DataOptions(), seeds, cache, **settings)

    return train


@pytest.fixture
def table(command, tmp_path):
    """Return a function that predicts into a CSV file and returns header, rows and outcome."""

    def predicted(*arguments, status=0):
        out = tmp_path / "out.csv"
        done = command("predict", *arguments, "-o", out, "--overwrite", "--device", "cpu")
        assert done.status == status, done.err
        assert done.out == ""
        with out.open(newline="") as file:
            header, *rows = csv.reader(file)
        return header, rows, done

    return predicted


@pytest.fixture
def mistake(command, tmp_path):
    """Return a function that checks the manners of a failing prediction and returns the message."""

    def failed(*arguments, out=None) -> str:
        out = tmp_path / "none.csv" if out is None else out
        before = sorted(tmp_path.iterdir())
        done = command("predict", *arguments, "-o", out)
        assert (done.status, done.out) == (1, ""), done
        (line,) = done.err.splitlines()
        assert line.startswith("Error: ")
        assert sorted(tmp_path.iterdir()) == before
        return line

    return failed
