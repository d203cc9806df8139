import dataclasses
import sys
from pathlib import Path

import pytest

from gradformer_dgl.data import GraphDataset, load_dataset
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.run_spec import RunSpec

# The modules beside the tests are imported by name, which importlib mode does not provide for.
sys.path.insert(0, str(Path(__file__).parent))

SMALL = {"feat_size": 16, "num_layers": 2, "num_heads": 2, "batch_size": 17, "lr": 5e-3, "warmup_epochs": 1}


@pytest.fixture(scope="session")
def shapes_cache(shapes_root, tmp_path_factory):
    file = tmp_path_factory.mktemp("cache") / "SHAPES.h5"
    preprocess_graphs(load_dataset("SHAPES", shapes_root).graphs, file, n_jobs=1, encodings=("rwse:5",))
    return file


@pytest.fixture
def request_for(shapes_root, shapes_cache, tmp_path):
    """Return a function that describes a small run on SHAPES."""

    def make(seeds=(0,), resume=False, folder="run", **settings) -> RunSpec:
        config = RunConfig().updated(SMALL | {"epochs": 3, "encoding": "rwse:5"} | settings)
        return RunSpec(
            dataset="SHAPES",
            data_root=str(shapes_root),
            cache=str(shapes_cache),
            folder=str(tmp_path / folder),
            config=config,
            seeds=seeds,
            resume=resume,
        )

    return make


@pytest.fixture
def shapes(request_for) -> GraphDataset:
    """The data set with distances and encodings."""
    return request_for().open_dataset()


@pytest.fixture
def relabelled(shapes):
    """Return a function that gives SHAPES other labels and another task."""

    def make(labels, task, level, out_size) -> GraphDataset:
        graphs = dataclasses.replace(shapes.graphs, labels=labels, label_level=level)
        return dataclasses.replace(shapes, graphs=graphs, task=task, level=level, out_size=out_size)

    return make


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Return a function that writes a module into the current folder and returns its name."""
    made = []

    def make(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield make
    for name in made:
        sys.modules.pop(name, None)
