import dataclasses
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import networkx as nx
import pytest
import torch

from gradformer_dgl.data import GraphDataset, load_dataset
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.support.errors import DataError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.splits import split_of

NUMBERS = count()
HEAD = """
import dgl, torch
from gradformer_dgl.data import GraphDataset, PackedGraphs

def path(size, **features):
    ends = torch.arange(size - 1), torch.arange(1, size)
    graph = dgl.graph(ends, num_nodes=size)
    for key, value in features.items():
        graph.ndata[key] = torch.full((size, 2), value) if key != "label" else torch.arange(size) % 2
    return graph
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GraphDataset]]:
    """Return a function that writes a module with ``make_dataset`` and loads what it makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = []

    def make(body: str, function: str = "make_dataset", **options: str) -> GraphDataset:
        names.append(f"own_data_{next(NUMBERS)}")
        (tmp_path / f"{names[-1]}.py").write_text(HEAD + textwrap.dedent(body))
        return load_dataset(f"{names[-1]}:{function}", **options)

    yield make
    for name in names:
        sys.modules.pop(name, None)


def returning(expression: str) -> str:
    return f"def make_dataset():\n    return {expression}\n"


def test_a_list_of_graphs_and_classes(make: Callable[..., GraphDataset]) -> None:
    data = make(returning("[(path(n, feat=0.5), 2 * n) for n in (3, 5, 3)]"))
    assert data.name.startswith("own_data_")
    assert data.name.endswith(".make_dataset")
    assert (data.task, data.level, data.out_size) == ("multiclass", "graph", 2)
    assert data.graphs.labels.tolist() == [0, 1, 0]
    assert (data.node_encoder, data.node_size, data.edge_encoder) == ("linear", 2, None)
    assert data.graphs.node_counts.tolist() == [3, 5, 3]


def test_floats_are_a_regression(make: Callable[..., GraphDataset]) -> None:
    data = make(returning("[(path(n, feat=n), torch.tensor([n / 2, float('nan')])) for n in (3, 5)]"))
    assert (data.task, data.out_size) == ("regression", 2)
    assert data.graphs.labels[:, 0].tolist() == [1.5, 2.5]
    assert (data.node_encoder, data.node_size) == ("embedding", (6, 6))
    assert data.labelled.tolist() == [0, 1]


def test_the_task_that_is_said(make: Callable[..., GraphDataset]) -> None:
    binary = make(returning("[(path(3), n) for n in (0, 1, 1)]"), task="binary")
    assert (binary.task, binary.graphs.labels.tolist()) == ("binary", [[0.0], [1.0], [1.0]])
    several = make(returning("[(path(3), torch.tensor([n, 1])) for n in (0, 1, 1)]"), task="multilabel")
    assert (several.task, several.out_size) == ("multilabel", 2)
    classes = make(returning("[(path(3), n) for n in (4.0, float('nan'), -1.0)]"), task="multiclass")
    assert (classes.graphs.labels.tolist(), classes.labelled.tolist()) == ([1, -1, 0], [0, 2])


def test_nodes_without_features_have_their_degree(make: Callable[..., GraphDataset]) -> None:
    star = "dgl.graph(([0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]))"
    data = make(returning(f"[{star}, path(2)]"))
    assert data.graphs.labels is None
    expected = [d for _, d in nx.star_graph(3).degree()] + [1, 0]
    assert data.graphs.node_features.int().argmax(1).tolist() == expected
    assert data.node_size == 4
    other = make(returning("[(path(3, feat=1.0), 1.0)]"), node_features="none")
    assert other.node_size == 2


def test_features_under_other_keys(make: Callable[..., GraphDataset]) -> None:
    body = """
    def make_dataset():
        graphs = [path(n, feat=0.5, x=1) for n in (3, 5)]
        for graph in graphs:
            graph.edata["w"] = torch.rand(graph.num_edges())
        return [(graph, 1.0) for graph in graphs]
    """
    data = make(body, node_features="x", edge_features="w")
    assert (data.node_encoder, data.node_size) == ("embedding", (2, 2))
    assert (data.edge_encoder, data.edge_size) == ("linear", 1)
    with pytest.raises(DataError, match=r"own_data_\d+:make_dataset: the graphs have no ndata\['y'\]"):
        make(body, node_features="y")


def test_labels_of_nodes(make: Callable[..., GraphDataset]) -> None:
    data = make(returning("[path(n, feat=0.5, label=1) for n in (3, 5)]"))
    assert (data.task, data.level, data.out_size) == ("multiclass", "node", 2)
    assert data.graphs.labels.tolist() == [0, 1, 0, 0, 1, 0, 1, 0]


def test_a_data_set_of_dgl_and_one_of_this_package(make: Callable[..., GraphDataset]) -> None:
    body = """
    class Mine(dgl.data.DGLDataset):
        def __init__(self):
            super().__init__("mine")

        def process(self):
            pass

        def __len__(self):
            return 3

        def __getitem__(self, number):
            assert 0 <= number < 3
            return path(number + 2, feat=1.0), torch.tensor(number % 2)

    class Made:
        whole = staticmethod(lambda: GraphDataset(
            "w", PackedGraphs.from_graphs(Mine()), "multiclass", "graph", 2, "linear", 2
        ))
    """
    ours = make(body, "Mine")
    assert (len(ours), ours.graphs.labels.tolist()) == (3, [0, 1, 0])
    whole = make(body.replace("Mine()", "[(path(2, feat=1.0), 0)]"), "Made.whole")
    assert (len(whole), whole.task) == (1, "multiclass")
    assert whole.name.endswith(".Made.whole")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("make = 1", "has no 'make_dataset'"),
        ("make_dataset = 1", "has int, but no function, 'make_dataset'"),
        (
            "import not_there_at_all",
            "cannot be imported (No module named 'not_there_at_all')",
        ),
        ("def make_dataset(:", "cannot be imported (invalid syntax"),
        ("def make_dataset():\n    return 1 / 0", "fails (ZeroDivisionError: division by zero); add --debug"),
        ("def make_dataset(name):\n    pass", "fails (TypeError: make_dataset() missing 1 required"),
        (returning("3"), "it returns a int, not a data set of graphs or of (graph, label)"),
        (returning("[]"), "no graphs to pack: the list is empty"),
        (returning("[3]"), "item 0 is a int, not a DGLGraph"),
        (returning("[(path(2), 1), (path(2),)]"), "1 of 2 graphs have a label"),
        (returning("[(path(2), 'good')]"), "labels cannot be stacked"),
        (returning("[(path(2), torch.tensor([1, 0]))]"), "its labels are 2 integers each; say --task"),
        (returning("[(path(2, feat=-3), 1)]"), "node_features hold the category -3"),
        (returning("[(path(2, feat=1j), 1)]"), "ndata['feat'] holds complex numbers"),
        (
            "def make_dataset():\n    one = path(2)\n    one.ndata['h'] = torch.ones(2, 0)\n    return [one]",
            "node_features have no columns: their shape is (2, 0)",
        ),
        (
            returning("[(path(2), torch.tensor(n * 1e300, dtype=torch.float64)) for n in (0, 1)]"),
            "the label of graph 1 is no finite number in float32; NaN is a missing label",
        ),
        (returning("[(path(2), n) for n in (0.5, 1.5, float('-inf'))]"), "the label of graph 2 is no finite"),
        ("import sys\nsys.exit('no data')", "cannot be imported (no data)"),
        ("def make_dataset():\n    raise SystemExit(5)", "make_dataset fails (SystemExit: 5); add --debug"),
        (
            "def make_dataset():\n    yield path(2)\n    raise SystemExit",
            "make_dataset fails (SystemExit); add --debug",
        ),
    ],
)
def test_mistakes(make: Callable[..., GraphDataset], body: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        make(body)
    assert message in str(caught.value)
    assert "own_data_" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        ("0.5 1.0", "multiclass", "no single whole numbers"),
        ("0 2", "binary", "not all 0 or 1, which a binary task takes"),
        ("0 2", "multilabel", "not all 0 or 1, which a multilabel task takes"),
    ],
)
def test_labels_that_do_not_suit_the_task(
    make: Callable[..., GraphDataset], labels: str, task: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make(returning(f"[(path(2), n) for n in ({labels.replace(' ', ', ')},)]"), task=task)


def test_infinite_labels_of_nodes(make: Callable[..., GraphDataset]) -> None:
    body = """
    def make_dataset():
        graphs = [path(3), path(4)]
        for graph in graphs:
            graph.ndata["label"] = torch.full((graph.num_nodes(),), float("nan"))
        graphs[1].ndata["label"][2] = -float("inf")
        return graphs
    """
    with pytest.raises(DataError, match="the label of node 2 of graph 1 is no finite number in float32"):
        make(body)


def test_what_is_printed_goes_to_stderr(
    make: Callable[..., GraphDataset], capsys: pytest.CaptureFixture[str]
) -> None:
    body = """
    print("import")

    def make_dataset():
        print("call")

        def made():
            print("iteration")
            yield path(2), 1

        return made()
    """
    assert len(make(body)) == 1
    assert capsys.readouterr() == ("", "import\ncall\niteration\n")


@pytest.mark.parametrize(
    ("labels", "task"), [("7, 7, 7", None), ("0.0, float('nan'), 0.0", "binary"), ("1, 1, 1", "binary")]
)
def test_labels_of_one_class(make: Callable[..., GraphDataset], labels: str, task: str | None) -> None:
    data = make(returning(f"[(path(2), n) for n in ({labels})]"), **({} if task is None else {"task": task}))
    message = f"all labels of {data.name} are of one class; a {data.task} task needs two"
    with pytest.raises(DataError, match=message):
        split_of(data, RunConfig(), seed=0)
    split = {part: torch.tensor([number]) for number, part in enumerate(("train", "val", "test"))}
    with pytest.raises(DataError, match=message):
        split_of(dataclasses.replace(data, splits=split), RunConfig(), seed=0)
    data.graphs.labels[1] = 1 - data.graphs.labels[0]
    assert DatasetInfo.of(data).out_size == 1


def test_edges_without_features(make: Callable[..., GraphDataset]) -> None:
    body = """
    def make_dataset():
        graphs = [dgl.graph(([], []), num_nodes=2) for _ in range(3)]
        for graph in graphs:
            graph.edata["feat"] = torch.ones(0, 2)
        return graphs
    """
    data = make(body)
    assert (data.edge_encoder, data.edge_size, data.graphs.num_edges) == ("linear", 2, 0)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(DataError, match="there is no module 'no_such_module' in the current folder"):
        load_dataset("no_such_module:make")
    with pytest.raises(DataError, match=r"there is no module 'gradformer_dgl.none' in the current folder"):
        load_dataset("gradformer_dgl.none:make")


def test_one_says_the_task(make: Callable[..., GraphDataset]) -> None:
    body = returning(
        'GraphDataset("w", PackedGraphs.from_graphs([path(2)]), "regression", "graph", 1, "linear", 2)'
    )
    with pytest.raises(DataError, match="returns a GraphDataset, which says task and features itself"):
        make(body, task="binary")
    assert torch.equal(make(body).graphs.node_counts, torch.tensor([2]))


def test_one_graph_is_split_by_the_masks_of_its_nodes(make) -> None:
    body = """
        def make_dataset():
            graph = path(6, label=0, feat=1.0)
            flags = torch.arange(6)
            for part, chosen in [("train", flags < 3), ("val", flags == 3), ("test", flags > 3)]:
                graph.ndata[part + "_mask"] = chosen
            return [graph]

        def without_test():
            graph = make_dataset()[0]
            graph.ndata.pop("test_mask")
            return [graph]

        def shared():
            graph = make_dataset()[0]
            graph.ndata["test_mask"][1:3] = True
            return [graph]
    """
    data = make(body)
    assert (data.level, data.splits) == ("node", None)
    assert {part: nodes.tolist() for part, nodes in data.node_splits.items()} == {
        "train": [0, 1, 2],
        "val": [3],
        "test": [4, 5],
    }
    with pytest.raises(DataError, match=r"has no ndata\['test_mask'\]: each part needs nodes"):
        make(body, "without_test")
    with pytest.raises(DataError, match=r"2 nodes .* in ndata\['train_mask'\] and in ndata\['test_mask'\]"):
        make(body, "shared")
