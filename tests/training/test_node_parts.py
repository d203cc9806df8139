"""Training on parts of the nodes of one graph."""

import dataclasses
import json
import logging

import pytest
import torch

from gradformer_dgl import PairDistances, SparsePairDistances
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.readers.sbm_nodes import read_sbm_nodes
from gradformer_dgl.prediction.distances import CachedDistances, ComputedDistances, DistanceNeeds
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import ConfigError, DataError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.distributed import Ranks
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.network import restored_network
from gradformer_dgl.training.outputs import labels_of, predict
from gradformer_dgl.training.splits import split_of

SETTINGS = {"feat_size": 16, "num_layers": 1, "num_heads": 2, "lr": 0.02, "encoding": "none", "epochs": 30}


def config_of(**settings):
    given = SETTINGS | {"message_passing": "gcn", "gamma": 0.3, "hop": 1.0} | settings
    return RunConfig().updated(given)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    file = tmp_path_factory.mktemp("cache") / "sbm.h5"
    data = read_sbm_nodes("SBM-NODES-1009", communities=3, mixing=0.1)
    return preprocess_graphs(data.graphs, file, n_jobs=1, max_distance=2, layout="sparse")


@pytest.fixture
def communities(cache):
    data = read_sbm_nodes("SBM-NODES-1009", communities=3, mixing=0.1)
    return dataclasses.replace(data, graphs=data.graphs.with_cache(cache))


def test_learns_communities_over_near_pairs(communities, tmp_path):
    assert isinstance(communities.graphs.distances, SparsePairDistances)
    trainer = Trainer(communities, config_of(), 0, tmp_path)
    result = trainer.run()
    labels, test = communities.graphs.labels, communities.node_splits["test"]
    alone = (communities.graphs.node_features[test].argmax(1) == labels[test]).double().mean()
    assert result.test > 100 * float(alone) + 10
    outputs = predict(trainer.network, trainer.loader, test, 1)
    assert result.test == pytest.approx(100 * (outputs.argmax(1) == labels[test]).double().mean().item())


def test_the_score_of_the_training_data_is_that_of_the_nodes_trained_on(communities, tmp_path):
    trainer = Trainer(communities, config_of(attn_drop=0.3), 0, tmp_path)
    seen = []
    trainer.network.register_forward_hook(lambda network, inputs, outputs: seen.append(outputs.detach()))
    _, score = trainer.train_epoch(0)
    (outputs,), train = seen, communities.node_splits["train"]
    hits = outputs.argmax(1)[train].numpy() == communities.graphs.labels[train].numpy()
    assert score == pytest.approx(100 * hits.mean())
    assert hits.mean() != (outputs.argmax(1).numpy() == communities.graphs.labels.numpy()).mean()


def test_labels_of_other_parts_are_not_trained_on(communities, tmp_path):
    hidden = communities.graphs.labels.clone()
    others = torch.cat([communities.node_splits["val"], communities.node_splits["test"]])
    hidden[others] = (hidden[others] + 1) % 3
    graphs = dataclasses.replace(communities.graphs, labels=hidden)
    weights = []
    for dataset in (communities, dataclasses.replace(communities, graphs=graphs)):
        trainer = Trainer(dataset, config_of(attn_drop=0.3), 0, tmp_path)
        losses = [trainer.train_epoch(epoch) for epoch in range(3)]
        weights.append((losses, [part.clone() for part in trainer.network.state_dict().values()]))
    (one, first), (two, second) = weights
    assert one == two
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_nodes_are_split_at_random_where_the_data_set_does_not_say(communities):
    dataset = dataclasses.replace(communities, node_splits=None)
    split = split_of(dataset, config_of(val_fraction=0.2, test_fraction=0.3), seed=4)
    assert [len(part) for part in split.values()] == [504, 201, 304]
    assert torch.equal(torch.cat(list(split.values())).sort().values, torch.arange(1009))
    assert torch.equal(labels_of(dataset, split["val"]), dataset.graphs.labels[split["val"]])
    fewer = split_of(dataset, config_of(val_fraction=0.2, test_fraction=0.3, train_fraction=0.5), seed=4)
    assert len(fewer["train"]) == 252


def test_parts_of_nodes_go_with_one_graph_and_one_process(communities, shapes, tmp_path):
    with pytest.raises(DataError, match="has 97 graphs: parts of nodes go with one graph"):
        dataclasses.replace(shapes, node_splits=communities.node_splits)
    with pytest.raises(ConfigError, match="one graph, which several processes cannot share"):
        Trainer(communities, config_of(), 0, tmp_path, ranks=Ranks(rank=1, size=2))


def test_a_decay_that_outgrows_the_cached_cutoff_is_told_once(communities, tmp_path, caplog):
    trainer = Trainer(communities, config_of(gamma=0.01, hop=0.0), 0, tmp_path)
    with caplog.at_level(logging.WARNING, logger="gradformer_dgl"):
        trainer.run_epoch(0)
        assert not caplog.records
        with torch.no_grad():
            trainer.network.model.decay.tau += 3
        trainer.run_epoch(1)
        trainer.run_epoch(2)
    [record] = caplog.records
    assert "outgrown the cut-off of 2 hops" in record.getMessage()


def test_commands_train_and_score_a_graph_of_a_size_in_its_name(command, tmp_path):
    common = ("SBM-NODES-307", "--cache-dir", tmp_path / "cache")
    made = command("preprocess", *common, "--layout", "sparse", "--max-distance", 2, "--jobs", 1)
    assert (made.status, made.err.count("Error")) == (0, 0)
    assert (tmp_path / "cache" / "SBM-NODES-307.h5").is_file()
    run = tmp_path / "run"
    trained = command("train", *common, "--out", run, "--epochs", 2, "--feat-size", 8, "--num-heads", 2)
    result = json.loads(trained.out.splitlines()[-1])
    assert (trained.status, result["dataset"], result["metric"]) == (0, "SBM-NODES-307", "accuracy")
    scored = command("evaluate", run)
    assert json.loads(scored.out.splitlines()[-1])["mean"] == pytest.approx(result["mean"])
    wrong = command("train", *common, "--out", tmp_path / "other", "--model", "graphormer")
    assert wrong.status == 1
    assert "Graphormer biases all pairs" in wrong.err
    assert "Traceback" not in wrong.err


def test_near_pairs_serve_prediction(communities, cache, tmp_path, monkeypatch):
    facts, config = DatasetInfo.of(communities, max_distance=2), config_of()
    model = restored_network(facts, config, Trainer(communities, config, 0, tmp_path).network.state_dict())
    needs = DistanceNeeds.of(facts, config)
    sources = {"dense": ComputedDistances(), "cached": CachedDistances(cache.path)}
    found = {name: source.attach(communities.graphs, 0, needs) for name, source in sources.items()}
    monkeypatch.setattr("gradformer_dgl.prediction.distances.LARGE", 1000)
    found["near"] = sources["dense"].attach(communities.graphs, 0, needs)
    kinds = {name: type(graphs.distances) for name, graphs in found.items()}
    assert kinds == {"dense": PairDistances, "cached": SparsePairDistances, "near": SparsePairDistances}
    outputs = {name: model(graphs.batch([0])) for name, graphs in found.items()}
    assert torch.equal(outputs["cached"], outputs["near"])
    torch.testing.assert_close(outputs["near"], outputs["dense"], rtol=1e-3, atol=1e-4)
    baseline = DistanceNeeds.of(facts, config_of(model="graphgps"))
    attached = sources["dense"].attach(communities.graphs, 0, baseline)
    assert isinstance(attached.distances, PairDistances)
