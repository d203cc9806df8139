import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.training.data_description import data_digests


@pytest.fixture
def small() -> GraphDataset:
    """A path of three nodes and one of two, with all that a data set can have."""
    graphs = PackedGraphs(
        node_counts=torch.tensor([3, 2]),
        edge_counts=torch.tensor([2, 1]),
        src=torch.tensor([0, 1, 0], dtype=torch.int32),
        dst=torch.tensor([1, 2, 1], dtype=torch.int32),
        node_features=torch.tensor([[True, False]] * 5),
        edge_features=torch.tensor([[7], [250], [0]], dtype=torch.uint8),
        labels=torch.tensor([[0.5], [torch.nan]]),
    )
    splits = {"train": torch.tensor([1]), "val": torch.tensor([0]), "test": torch.tensor([0])}
    return GraphDataset("small", graphs, "regression", "graph", 1, "linear", 2, "ogb", (251,), splits)


def sha256(*parts: tuple[str, np.ndarray]) -> str:
    return hashlib.sha256(
        b"".join(head.encode() + b"\n" + array.tobytes() for head, array in parts)
    ).hexdigest()


def changed(dataset, **parts):
    return dataclasses.replace(dataset, graphs=dataclasses.replace(dataset.graphs, **parts))


def test_digests_are_of_types_shapes_and_bytes(small):
    assert data_digests(small) == {
        "graphs": sha256(
            ("node_counts torch.int64 (2,)", np.array([3, 2], "<i8")),
            ("edge_counts torch.int64 (2,)", np.array([2, 1], "<i8")),
            ("src torch.int32 (3,)", np.array([0, 1, 0], "<i4")),
            ("dst torch.int32 (3,)", np.array([1, 2, 1], "<i4")),
        ),
        "labels": sha256(("graph torch.float32 (2, 1)", np.array([0.5, np.nan], "<f4"))),
        "node_features": sha256((" torch.bool (5, 2)", np.array([1, 0] * 5, "u1"))),
        "edge_features": sha256((" torch.uint8 (3, 1)", np.array([7, 250, 0], "u1"))),
        "splits": sha256(
            ("test torch.int64 (1,)", np.array([0], "<i8")),
            ("train torch.int64 (1,)", np.array([1], "<i8")),
            ("val torch.int64 (1,)", np.array([0], "<i8")),
        ),
    }


def test_a_missing_label_is_the_same_whoever_wrote_it(small):
    other = np.array([[0.5], [0]], np.float32)
    other.view(np.uint32)[1] = 0xFFC00001
    assert np.isnan(other[1]).all()
    assert data_digests(changed(small, labels=torch.from_numpy(other))) == data_digests(small)


def test_how_a_tensor_lies_in_memory_does_not_matter(small):
    labels = torch.tensor([[0.5, 3.0], [torch.nan, 4.0]])[:, :1]
    assert not labels.is_contiguous()
    assert data_digests(changed(small, labels=labels)) == data_digests(small)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
def test_labels_may_be_a_column_of_a_table(small, dtype):
    table = torch.tensor([[1, 0], [0, 0]]).to(dtype)
    column = table[:, 0]
    assert not column.is_contiguous()
    expected = data_digests(changed(small, labels=column.clone()))
    assert data_digests(changed(small, labels=column)) == expected


@pytest.mark.parametrize(
    ("part", "parts"),
    [
        ("labels", {"labels": torch.tensor([[0.5], [0.0]])}),
        ("labels", {"labels": torch.tensor([0.5, torch.nan])}),
        ("labels", {"labels": torch.tensor([0.5, torch.nan, 0, 0, 0]), "label_level": "node"}),
        ("node_features", {"node_features": torch.tensor([[True, False]] * 4 + [[True, True]])}),
        ("node_features", {"node_features": torch.tensor([[1, 0]] * 5, dtype=torch.uint8)}),
        ("node_features", {"node_features": None}),
        ("edge_features", {"edge_features": torch.tensor([[250], [7], [0]], dtype=torch.uint8)}),
        ("graphs", {"dst": torch.tensor([1, 0, 1], dtype=torch.int32)}),
    ],
)
def test_another_part_has_another_digest(small, part, parts):
    before, after = data_digests(small), data_digests(changed(small, **parts))
    assert {name for name in before if before[name] != after.get(name)} == {part}


def test_parts_of_nodes_are_splits_too(small):
    graph = dataclasses.replace(small.graphs.part(0, 1), labels=torch.tensor([0, 1, -1]), label_level="node")
    split = {"train": torch.tensor([0]), "val": torch.tensor([1]), "test": torch.tensor([1])}
    one = dataclasses.replace(small, graphs=graph, level="node", splits=None, node_splits=split)
    other = dataclasses.replace(one, node_splits=split | {"val": torch.tensor([0])})
    assert data_digests(one)["splits"] != data_digests(other)["splits"]
    assert "splits" not in data_digests(dataclasses.replace(one, node_splits=None))


def test_graphs_without_edges(small):
    none = torch.zeros(0, dtype=torch.int32)
    packed = PackedGraphs(torch.tensor([1]), torch.tensor([0]), none, none, edge_features=torch.zeros(0, 3))
    digests = data_digests(dataclasses.replace(small, graphs=packed, splits=None))
    assert digests["edge_features"] == sha256((" torch.float32 (0, 3)", np.zeros((0, 3), "<f4")))
    assert digests.keys() == {"graphs", "edge_features"}
