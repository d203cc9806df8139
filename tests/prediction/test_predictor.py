"""Predictions from Python, beside those of the trainer on the same graphs."""

import dataclasses
import shutil

import dgl
import pytest
import torch
import yaml

from gradformer_dgl import Predictor
from gradformer_dgl.data import GraphDataset, load_dataset
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.prediction import predictor as predictor_module
from gradformer_dgl.support.errors import CacheError, ConfigError, DataError, GraphError, RunError
from gradformer_dgl.training.seed_files import WEIGHTS
from gradformer_dgl.training.tensor_files import load_tensors, save_tensors

MODELS = {
    "shapes": {"encoding": "rwse:5"},
    "wl": {"model": "wl", "wl_rounds": 3},
    "gin": {"model": "gin"},
    "graphormer": {"model": "graphormer", "encoding": "lappe:3"},
    "ohms": {"distance": "resistance"},
    "near": {"cache": {"max_distance": 2, "directed": True}},
}


@pytest.fixture
def mean_run(shapes_run):
    return shapes_run("shapes", **MODELS["shapes"])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_predicts_what_the_trainer_does(shapes_run, shapes_root, name):
    run = shapes_run(name, **MODELS[name])
    dataset = load_dataset("SHAPES", shapes_root)
    each = [run.expected(seed) for seed in (0, 1)]
    assert not torch.allclose(*each)
    for seed, expected in enumerate(each):
        alone = Predictor.from_run(run.folder, seed=seed)
        assert torch.allclose(alone.predict(dataset), expected, atol=1e-5)
    together = Predictor.from_run(run.folder)
    mean = together.predict(dataset)
    assert torch.allclose(mean, torch.stack(each).mean(0), atol=1e-5)
    assert torch.allclose(together.predict(dataset.graphs, cache=run.request.cache), mean, atol=1e-6)


def test_parts_and_batches_make_no_difference(mean_run, shapes_root, monkeypatch):
    predictor = Predictor.from_run(mean_run.folder)
    graphs = load_dataset("SHAPES", shapes_root).graphs
    whole = predictor.predict(graphs)
    monkeypatch.setattr(predictor_module, "GRAPHS_AT_ONCE", 11)
    monkeypatch.setattr(predictor_module, "PAIRS_AT_ONCE", 700)
    monkeypatch.setattr(predictor_module, "PAIRS_IN_A_BATCH", 150)
    source = predictor.distances(mean_run.request.cache)
    parts = list(predictor.each_part(predictor.fit.packed(graphs), source))
    source.finish(len(graphs))
    assert max(part.shape[1] for part in parts) <= 11
    assert len(parts) > len(graphs) // 11 + 1
    assert torch.allclose(torch.cat(parts, 1).mean(0).float(), whole, atol=1e-6)


def as_dgl(dataset: GraphDataset, number: int, feature) -> dgl.DGLGraph:
    batch = dataset.graphs.batch([number])
    graph = dgl.graph(batch.graph.edges(), num_nodes=int(batch.node_counts))
    graph.ndata["feat"] = feature(batch.node_features)
    return graph


@pytest.mark.parametrize("form", ["one-hot", "labels"])
def test_dgl_graphs_have_columns_or_labels(mean_run, shapes_root, form):
    dataset = load_dataset("SHAPES", shapes_root)
    feature = {"one-hot": lambda rows: rows, "labels": lambda rows: rows.argmax(1)}[form]
    graphs = [as_dgl(dataset, number, feature) for number in (5, 0, 8)]
    predictor = Predictor.from_run(mean_run.folder)
    assert torch.allclose(predictor.predict(graphs), predictor.predict(dataset)[[5, 0, 8]], atol=1e-6)
    with_labels = [(graph, 1) for graph in graphs]
    assert torch.equal(predictor.predict(with_labels), predictor.predict(graphs))


def test_graphs_that_the_run_cannot_read(mean_run, shapes_root, molecule_run):
    dataset = load_dataset("SHAPES", shapes_root)
    predictor = Predictor.from_run(mean_run.folder)
    bare = dgl.graph(([0], [1]))
    with pytest.raises(DataError, match=r"no node features, but the run takes 3 columns of 0 and 1"):
        predictor.predict([bare])
    wide = as_dgl(dataset, 0, lambda rows: torch.ones(len(rows), 5))
    with pytest.raises(DataError, match="5 columns of node features, but the run takes 3 columns"):
        predictor.predict([wide])
    strange = as_dgl(dataset, 0, lambda rows: 4 + rows.argmax(1))
    with pytest.raises(DataError, match=r"node labels have the values 4, 5, 6, but .* only 0, 1, 2"):
        predictor.predict([strange])
    fractions = as_dgl(dataset, 0, lambda rows: rows / 2)
    with pytest.raises(DataError, match="neither 0 nor 1"):
        predictor.predict([fractions])
    with pytest.raises(GraphError, match=r"this is one graph: give a list, \[graph\]"):
        predictor.fit.packed(bare)
    with pytest.raises(GraphError, match="the list is empty"):
        predictor.predict([])
    molecules = Predictor.from_run(molecule_run("mass").folder)
    with pytest.raises(DataError, match="3 columns of node features, but the run takes 9 columns of whole"):
        molecules.predict(dataset)
    atoms = dgl.graph(([0], [1]))
    atoms.ndata["feat"] = torch.tensor([[5, 0, 4, 5, 3, 0, 2, 0, 0], [5, 0, 4, 5, 3, 0, 2, 0, 7]])
    atoms.edata["feat"] = torch.zeros(1, 3, dtype=torch.int64)
    with pytest.raises(DataError, match="a node has the category 7 in column 8, but the run takes 9"):
        molecules.predict([atoms])
    atoms.ndata["feat"] = atoms.ndata["feat"].clamp(max=1)
    del atoms.edata["feat"]
    with pytest.raises(DataError, match="no edge features, but the run takes 3 columns"):
        molecules.predict([atoms])


def test_a_cache_of_other_graphs(mean_run, shapes_run, shapes_root):
    graphs = load_dataset("SHAPES", shapes_root).graphs
    predictor = Predictor.from_run(mean_run.folder)
    cache = mean_run.request.cache
    with pytest.raises(CacheError, match="holds 97 graphs, the input 96"):
        predictor.predict(graphs.part(0, 96), cache)
    with pytest.raises(CacheError, match="belongs to other data: graph 0 differs"):
        predictor.predict(graphs.part(1, 97), cache)
    near = shapes_run("near", **MODELS["near"]).request.cache
    with pytest.raises(CacheError, match="made with directed=True, max_distance=2, but the run with"):
        predictor.predict(graphs, near)
    with pytest.raises(CacheError, match="no encoding rwse:5"):
        predictor.predict(graphs, shapes_run("gin", **MODELS["gin"]).request.cache)


def test_a_run_is_whole_without_its_data(mean_run, shapes_root, tmp_path):
    published = tmp_path / "published"
    for file in ("config.yaml", "seed-0/weights.safetensors", "seed-1/weights.safetensors"):
        (published / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mean_run.folder / file, published / file)
    settings = yaml.safe_load((published / "config.yaml").read_text())
    assert settings["data"]["output_names"] == ["-1", "1"]
    assert settings["data"]["source"] == {"node_labels": [[0, 1, 2]]}
    settings |= {"dataset": "GONE", "data_root": "/nowhere", "cache": "/nowhere/GONE.h5"}
    (published / "config.yaml").write_text(yaml.safe_dump(settings))
    dataset = load_dataset("SHAPES", shapes_root)
    expected = Predictor.from_run(mean_run.folder).predict(dataset)
    assert torch.equal(Predictor.from_run(published).predict(dataset), expected)


def test_a_run_of_an_older_version(shapes_run, shapes_root, tmp_path):
    for name in ("wl", "gin"):
        run = shapes_run(name, **MODELS[name])
        shutil.copytree(run.folder, tmp_path / name)
        settings = yaml.safe_load((run.folder / "config.yaml").read_text())
        del settings["data"]
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(RunError, match=r"does not say what .* train it again, or .* --data-root"):
            Predictor.from_run(tmp_path / name)
    dataset = load_dataset("SHAPES", shapes_root)
    found = Predictor.from_run(tmp_path / "gin", data_root=str(shapes_root)).predict(dataset)
    assert torch.equal(found, Predictor.from_run(run.folder).predict(dataset))
    file = tmp_path / "wl" / "seed-0" / WEIGHTS
    tensors, facts = load_tensors(file)
    del tensors["model.rounds"]
    save_tensors(file, tensors, facts)
    with pytest.raises(RunError, match="which labels are of which round: train the run again"):
        Predictor.from_run(tmp_path / "wl", data_root=str(shapes_root))


def test_what_is_no_run_to_predict_with(mean_run, tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder"):
        Predictor.from_run(tmp_path)
    with pytest.raises(ConfigError, match="the device is auto, cpu, cuda or cuda:N, not 'gpu'"):
        Predictor.from_run(mean_run.folder, device="gpu")
    with pytest.raises(RunError, match="has no seed 7: there are 0, 1"):
        Predictor.from_run(mean_run.folder, seed=7)
    shutil.copytree(mean_run.folder, tmp_path / "run")
    (tmp_path / "run" / "seed-1" / WEIGHTS).unlink()
    with pytest.raises(RunError, match=r"no weights\.safetensors in .*seed-1"):
        Predictor.from_run(tmp_path / "run")
    assert list(Predictor.from_run(tmp_path / "run", seed=0).networks) == [0]
    (tmp_path / "run" / "seed-0" / WEIGHTS).write_bytes(b"no weights at all")
    with pytest.raises(RunError, match="is broken"):
        Predictor.from_run(tmp_path / "run", seed=0)
    settings = yaml.safe_load((mean_run.folder / "config.yaml").read_text())
    for wrong in ("text", {"name": "x"}, settings["data"] | {"task": "ranking"}):
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(settings | {"data": wrong}))
        with pytest.raises(RunError, match="no description of training data"):
            Predictor.from_run(tmp_path / "run", seed=0)


def test_facts_survive_yaml(shapes_root):
    facts = DatasetInfo.of(load_dataset("SHAPES", shapes_root), directed=True, max_distance=4)
    again = DatasetInfo.read(yaml.safe_load(yaml.safe_dump(facts.as_dict())))
    assert again == facts
    assert (facts.node_kind, facts.node_size, facts.task) == ("flag", 3, "multiclass")
    assert dataclasses.replace(facts, output_names=()).outputs == ("0", "1")
