import pytest
import torch

from gradformer_dgl.graphs import edge_list
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.training import batch_loader
from gradformer_dgl.training.batch_loader import BatchLoader
from gradformer_dgl.training.loop import Trainer

PARTS = [torch.tensor([3, 1]), torch.tensor([0]), torch.tensor([5, 5, 2])]


def test_batches_that_do_not_fit_are_the_same(shapes, monkeypatch):
    expected = [shapes.graphs.batch(part) for part in PARTS]
    monkeypatch.setattr(batch_loader, "fits_on", lambda device, num_bytes: False)
    found = BatchLoader(shapes.graphs, "cpu")
    assert not found.is_resident
    for mine, other in zip(found.each(PARTS), expected, strict=True):
        assert torch.equal(mine.distances.values, other.distances.values)
        assert torch.equal(mine.node_features, other.node_features)
        assert torch.equal(mine.graph.edges()[0], other.graph.edges()[0])


def test_an_error_of_the_thread_is_raised(shapes, monkeypatch):
    monkeypatch.setattr(batch_loader, "fits_on", lambda device, num_bytes: False)
    with pytest.raises(IndexError, match="graph 9999 of"):
        list(BatchLoader(shapes.graphs, "cpu").each([torch.tensor([0]), torch.tensor([9999])]))


def test_a_training_with_lists_of_edges_learns_the_same(shapes, request_for, tmp_path, monkeypatch):
    """As on a GPU for which DGL has no build, the data set too large for it."""
    config = request_for(dropout=0.0, attn_drop=0.0).config
    expected = Trainer(shapes, config, 0, tmp_path / "one")
    expected_losses = [expected.train_epoch(epoch) for epoch in range(2)]
    monkeypatch.setattr(batch_loader, "fits_on", lambda device, num_bytes: False)
    monkeypatch.setattr(edge_list, "dgl_has_graphs_on", lambda device_type: False)
    trainer = Trainer(shapes, config, 0, tmp_path / "other")
    assert isinstance(next(trainer.loader.each(PARTS)).graph, EdgeList)
    losses = [trainer.train_epoch(epoch) for epoch in range(2)]
    assert [loss for loss, _ in losses] == pytest.approx([loss for loss, _ in expected_losses], rel=1e-3)


def test_a_share_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    assert batch_loader.fits_on(torch.device("cuda"), 500)
    assert not batch_loader.fits_on(torch.device("cuda"), 501)
    assert batch_loader.fits_on(torch.device("cpu"), 1 << 60)


def test_bytes_of_a_data_set(shapes):
    graphs = shapes.graphs
    more = graphs.distances.values.nbytes + sum(part.nbytes for part in graphs.encodings.values())
    bare = type(graphs)(graphs.node_counts, graphs.edge_counts, graphs.src, graphs.dst)
    assert bare.num_bytes == graphs.src.nbytes + graphs.dst.nbytes
    rest = [part for part in (graphs.node_features, graphs.edge_features, graphs.labels) if part is not None]
    assert graphs.num_bytes == bare.num_bytes + more + sum(part.nbytes for part in rest)
