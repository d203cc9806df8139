import sys
from pathlib import Path

import pytest

from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.trained_run import open_run

SMALL = {
    "epochs": 2,
    "feat_size": 12,
    "num_layers": 2,
    "num_heads": 3,
    "batch_size": 17,
    "lr": 1e-2,
    "hop": 1.5,
    "val_fraction": 0.2,
    "test_fraction": 0.4,
}
MODULE = """
import dgl, torch

def graph_of(number):
    # A chain with a ring, beside a node without a neighbour.
    generator = torch.Generator().manual_seed(number)
    size = 6 + number % 5
    ends = torch.arange(size - 1), torch.arange(1, size)
    graph = dgl.to_bidirected(dgl.graph(ends, num_nodes=size + 1))
    graph = dgl.add_edges(graph, torch.tensor([0, size // 2]), torch.tensor([size // 2, 0]))
    graph.ndata["feat"] = torch.rand(size + 1, 2, generator=generator)
    return graph

def labelled(label):
    graphs = enumerate(map(graph_of, range(30)))
    return [(graph, label(graph.ndata["feat"], number)) for number, graph in graphs]

def two_values():
    missing = float("nan")
    return labelled(lambda x, i: torch.tensor([100 * x.mean(), missing if i % 3 == 0 else x[0, 0]]))

def yes_or_no():
    return labelled(lambda x, i: float(x[:, 0].mean() > 0.5))

def three_classes():
    return labelled(lambda x, i: i % 3)

def several():
    return labelled(lambda x, i: (torch.rand(3, generator=torch.Generator().manual_seed(i)) > 0.5).float())

def nodes():
    graphs = list(map(graph_of, range(30)))
    for graph in graphs:
        graph.ndata["label"] = (graph.ndata["feat"] > 0.5).sum(1)
    return graphs

def parts_of_one():
    graph = nodes()[4]
    graph.ndata["label"] = torch.arange(11) % 2
    for place, part in enumerate(("train", "val", "test")):
        graph.ndata[part + "_mask"] = torch.arange(11) // 4 == place
    return [graph]
"""
TASKS = {
    "two_values": "regression",
    "yes_or_no": "binary",
    "three_classes": "multiclass",
    "several": "multilabel",
    "nodes": "multiclass",
    "parts_of_one": "multiclass",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a function that trains a run on graphs of a function, once for the same settings."""
    place = tmp_path_factory.mktemp("plots")
    (place / "graphs_to_draw.py").write_text(MODULE)
    runs: dict[str, RunSpec] = {}

    def train(data: str, seeds=(0, 1), **settings) -> RunSpec:
        name = "-".join((data, *map(str, seeds), *map(str, settings.values())))
        if name not in runs:
            config = RunConfig().updated(SMALL | settings)
            request = RunSpec(
                dataset=f"graphs_to_draw:{data}",
                data_root=None,
                cache=str(place / f"{data}.h5"),
                folder=str(place / name.replace(":", "-")),
                config=config,
                seeds=seeds,
                data_options=DataOptions(task=TASKS[data]),
            )
            if not Path(request.cache).exists():
                preprocess_graphs(
                    request.load_dataset().graphs,
                    request.cache,
                    n_jobs=1,
                    encodings=("rwse:3",),
                    extra_distances=("resistance",),
                )
            train_run(request)
            runs[name] = request
        return runs[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", [str(place), *sys.path])
        yield train
    sys.modules.pop("graphs_to_draw", None)


@pytest.fixture
def opened(trained):
    """Return a function that trains a run and opens it to draw pictures of it."""

    def run(data: str, graph=None, layer=None, **options) -> PlottedRun:
        return PlottedRun(open_run(Path(trained(data, **options).folder), trust=True).spec, graph, layer)

    return run
