"""Estimate of the memory of a training on one large graph, and its refusal."""

import dataclasses
import logging

import pytest
import torch

from gradformer_dgl import SparsePairDistances
from gradformer_dgl.data.readers.sbm_nodes import read_sbm_nodes
from gradformer_dgl.pairs.sparse_memory import require_step
from gradformer_dgl.support.errors import GraphError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.step_memory import step_bytes

SETTINGS = {"feat_size": 16, "num_heads": 2, "encoding": "none", "epochs": 1, "gamma": 0.3, "hop": 1.0}


@pytest.fixture(autouse=True)
def thousand_nodes_are_large(monkeypatch):
    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.SMALL", 1000)


def trainer_of(folder, nodes=1009, **settings):
    data = read_sbm_nodes(f"SBM-NODES-{nodes}")
    near = SparsePairDistances.from_graph(data.graphs.structures(), 2)
    graphs = dataclasses.replace(data.graphs, distances=near)
    given = SETTINGS | {"num_layers": 2, "message_passing": "gcn"} | settings
    return Trainer(dataclasses.replace(data, graphs=graphs), RunConfig().updated(given), 0, folder)


def told(caplog):
    return [line for line in caplog.messages if "a training step takes about" in line]


@pytest.mark.parametrize(
    "settings", [{}, {"message_passing": "gin", "dropout": 0.3, "num_layers": 3}], ids=str
)
def test_the_estimate_is_that_of_the_graph_itself(settings, tmp_path, caplog, monkeypatch):
    trainer = trainer_of(tmp_path, **settings)
    own = step_bytes(trainer.network, trainer.loader.batch(torch.tensor([0])))
    seen = []

    def required(near, node_bytes, beside):
        seen.append(node_bytes)
        return require_step(near, node_bytes, beside)

    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.require_step", required)
    with caplog.at_level(logging.INFO, "gradformer_dgl"):
        trainer.run()
    assert seen == [pytest.approx(own, rel=0.1)]
    assert len(told(caplog)) == 1
    assert told(caplog)[0].startswith("seed 0: a training step takes about ")


def test_a_step_beyond_the_memory_is_refused_before_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.machine_memory", lambda: 2**20)
    trainer = trainer_of(tmp_path)
    with pytest.raises(GraphError, match=r"a training step on 1,009 nodes takes about .* no cut-off fits"):
        trainer.run()
    assert not trainer.records


def test_the_look_ahead_changes_no_result(tmp_path, monkeypatch):
    looked = trainer_of(tmp_path / "one", dropout=0.2).run()
    monkeypatch.setattr("gradformer_dgl.pairs.sparse_memory.SMALL", 10**6)
    assert trainer_of(tmp_path / "two", dropout=0.2).run().val == looked.val


def test_nothing_is_told_of_small_graphs(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "gradformer_dgl"):
        trainer_of(tmp_path, nodes=907).run()
    assert not told(caplog)


def test_the_cutoff_that_would_fit_is_named():
    data = read_sbm_nodes("SBM-NODES-1009")
    near, fewer = (SparsePairDistances.from_graph(data.graphs.structures(), limit) for limit in (3, 2))
    room = 1009 * 100 + 50 + near.indptr.nbytes + 5 * fewer.num_pairs
    assert require_step(near, 100, 50, memory=room + 5 * (near.num_pairs - fewer.num_pairs)) == 100900
    message = rf"{near.num_pairs:,} pairs within 3 hops .*: max_distance=2 would take "
    with pytest.raises(GraphError, match=message):
        require_step(near, 100, 50, memory=room)
    with pytest.raises(GraphError, match="max_distance=1 would take"):
        require_step(near, 100, 50, memory=room - 1)
