import gzip
import pickle
import zipfile
from pathlib import Path

import dgl
import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.readers.node_classification import both_ways
from gradformer_dgl.data.readers.ogbn_arxiv import read_arxiv
from gradformer_dgl.data.readers.sbm_nodes import read_sbm_nodes
from gradformer_dgl.support.errors import DataError


def edges_of(data):
    return set(zip(data.graphs.src.tolist(), data.graphs.dst.tolist(), strict=True))


def test_an_sbm_has_the_size_in_its_name_and_the_chances_asked_for():
    data = load_dataset("sbm-nodes-20011", seed=3, degree=8.0, mixing=0.4)
    assert (data.name, data.graphs.num_nodes, data.graphs.node_features.shape) == (
        "SBM-NODES-20011",
        20011,
        (20011, 10),
    )
    edges, labels = edges_of(data), data.graphs.labels
    assert len(edges) == data.graphs.num_edges
    assert all((dst, src) in edges and src != dst for src, dst in edges)
    assert len(edges) / 20011 == pytest.approx(8.0, rel=0.01)
    alike = (labels[data.graphs.src.long()] == labels[data.graphs.dst.long()]).double().mean()
    assert float(alike) == pytest.approx(0.6 + 0.4 / 10, abs=0.01)
    own = data.graphs.node_features[torch.arange(20011), labels]
    assert float(own.mean()) == pytest.approx(1.0, abs=0.03)
    parts = torch.cat(list(data.node_splits.values()))
    assert torch.equal(parts.sort().values, torch.arange(20011))
    assert [len(part) for part in data.node_splits.values()] == [2001, 2001, 16009]


def test_an_sbm_is_the_same_for_the_same_seed_only():
    one, same, other = (read_sbm_nodes("SBM-NODES-500", seed=seed) for seed in (1, 1, 2))
    assert edges_of(one) == edges_of(same)
    assert torch.equal(one.graphs.node_features, same.graphs.node_features)
    assert edges_of(one) != edges_of(other)


def test_edges_in_both_directions_are_sorted_and_each_is_there_once():
    src, dst = both_ways(np.array([2, 0, 1]), np.array([0, 1, 0]), nodes=3)
    assert (src.tolist(), dst.tolist()) == ([0, 0, 1, 2], [1, 2, 0, 0])


def test_a_size_of_thousands_of_digits_is_none():
    for name in ("SBM-NODES-" + 5000 * "9", 300 * "x", "folder/" + 300 * "ä"):
        with pytest.raises(DataError, match=rf"there is no data set '{name[:60]}\.\.\.'"):
            load_dataset(name)


@pytest.mark.parametrize("name", ["SBM-NODES-99", "SBM-NODES-100000001"])
def test_an_sbm_of_an_impossible_size_is_refused(name):
    with pytest.raises(DataError, match="the number of nodes is between 100 and 100,000,000"):
        load_dataset(name)


def test_an_sbm_that_would_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr("gradformer_dgl.data.readers.sbm_nodes.machine_memory", lambda: 10**6)
    assert len(read_sbm_nodes("SBM-NODES-1000").graphs.node_counts) == 1
    with pytest.raises(DataError, match=r"takes about 1\.4 MB of memory to make, but this machine has 1 MB"):
        read_sbm_nodes("SBM-NODES-2000")
    with pytest.raises(DataError, match=r"takes about 1\.2 MB"):
        read_sbm_nodes("SBM-NODES-1000", degree=11.5)


ARXIV = {
    "raw/edge": "0,1\n1,2\n4,2\n2,1\n",
    "raw/node-feat": "0.5,1\n0.25,2\n1,3\n2,4\n3,5\n",
    "raw/node-label": "3\n0\n39\n1\n1\n",
    "split/time/train": "0\n3\n",
    "split/time/valid": "1\n",
    "split/time/test": "4\n2\n",
}


def arxiv_zip(file, **changed):
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in (ARXIV | changed).items():
            archive.writestr(f"arxiv/{path}.csv.gz", gzip.compress(text.encode()))
    return file


def test_arxiv_is_downloaded_once_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADFORMER_DGL_ARXIV_URL", arxiv_zip(tmp_path / "a.zip").as_uri())
    for _ in range(2):
        data = load_dataset("arxiv", tmp_path)
        (tmp_path / "a.zip").unlink(missing_ok=True)
    assert (data.name, data.out_size, data.node_size, len(data)) == ("ogbn-arxiv", 40, 2, 1)
    assert edges_of(data) == {(0, 1), (1, 0), (1, 2), (2, 1), (4, 2), (2, 4)}
    # Papers that cite each other are neighbours once.
    assert data.graphs.num_edges == 6
    assert data.graphs.labels.tolist() == [3, 0, 39, 1, 1]
    assert data.graphs.node_features.tolist()[4] == [3.0, 5.0]
    assert {name: part.tolist() for name, part in data.node_splits.items()} == {
        "train": [0, 3],
        "val": [1],
        "test": [4, 2],
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split/time/test": "4\n4\n"}, "are not of its 5 nodes"),
        ({"raw/node-label": "3\n0\n40\n1\n1\n"}, "not among the 40 classes"),
        ({"raw/node-label": "3\n0\n"}, "are not of its 5 nodes"),
        ({"raw/edge": "0,1\n5,2\n"}, "are not of its 5 nodes"),
        ({"raw/edge": "0,1\n-1,2\n"}, "are not of its 5 nodes"),
        ({"raw/node-feat": "0.5,x\n"}, "cannot be read"),
    ],
    ids=str,
)
def test_a_broken_arxiv_is_told(tmp_path, monkeypatch, changed, message):
    monkeypatch.setenv("GRADFORMER_DGL_ARXIV_URL", arxiv_zip(tmp_path / "a.zip", **changed).as_uri())
    with pytest.raises(DataError, match=message):
        read_arxiv(data_root=tmp_path)


def planetoid(folder: Path, key: str, missing: int = 0, protocol: int = 2) -> None:
    """Write a citation graph of 540 papers, 3 classes and 7 words in the raw format."""
    rng = np.random.default_rng(5)
    nodes, trained, tested = 1240, 60, 500
    words = scipy.sparse.csr_matrix(rng.integers(0, 2, (nodes, 7)).astype(np.float32))
    labels = np.eye(3)[rng.integers(0, 3, nodes)]
    order = np.arange(nodes - tested, nodes)
    # Some papers of the test range are in no file.
    order = rng.permutation(np.delete(order, np.arange(missing) * 7 + 3))
    known = nodes - tested
    graph = nx.gnp_random_graph(nodes, 0.003, seed=1)
    parts = {
        "x": words[:trained],
        "y": labels[:trained],
        "allx": words[:known],
        "ally": labels[:known],
        "tx": words[order],
        "ty": labels[order],
        "graph": {node: list(graph[node]) for node in graph},
    }
    folder.mkdir(parents=True)
    for part, value in parts.items():
        (folder / f"ind.{key}.{part}").write_bytes(pickle.dumps(value, protocol=protocol))
    (folder / f"ind.{key}.test.index").write_text("".join(f"{node}\n" for node in order))


# DGL leaves a file to the garbage collector to close.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("name", "key", "missing", "reader"),
    [
        ("Cora", "cora_v2", 0, dgl.data.CoraGraphDataset),
        ("Citeseer", "citeseer", 4, dgl.data.CiteseerGraphDataset),
        ("Pubmed", "pubmed", 0, dgl.data.PubmedGraphDataset),
    ],
)
def test_citation_graphs_are_those_that_dgl_reads(tmp_path, monkeypatch, name, key, missing, reader):
    planetoid(tmp_path / f"{key}_0123", key, missing)
    monkeypatch.setattr(dgl.data.DGLDataset, "_get_hash_url_suffix", lambda self: "_0123")
    graph = reader(raw_dir=str(tmp_path), verbose=False)[0]
    data = load_dataset(name, tmp_path)
    assert (data.name, data.level, data.out_size) == (name, "node", 3)
    assert edges_of(data) == set(zip(*(ends.tolist() for ends in graph.edges()), strict=True))
    torch.testing.assert_close(data.graphs.node_features, graph.ndata["feat"])
    assert torch.equal(data.graphs.labels, graph.ndata["label"])
    for part, nodes in data.node_splits.items():
        assert torch.equal(nodes, graph.ndata[f"{part}_mask"].bool().nonzero()[:, 0])


class _Call:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_what_a_citation_file_wants_to_run_is_refused(tmp_path):
    planetoid(tmp_path / "pubmed", "pubmed")
    target = tmp_path / "touched"
    (tmp_path / "pubmed" / "ind.pubmed.graph").write_bytes(pickle.dumps(_Call(target), protocol=2))
    with pytest.raises(DataError, match=r"ind.pubmed.graph cannot be read \(it asks for "):
        load_dataset("Pubmed", tmp_path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02", pickle.dumps([1, 2])], ids=["empty", "cut", "a list"])
def test_a_broken_citation_file_is_told(tmp_path, content):
    planetoid(tmp_path / "cora_v2", "cora_v2")
    (tmp_path / "cora_v2" / "ind.cora_v2.allx").write_bytes(content)
    with pytest.raises(DataError, match="get it again"):
        load_dataset("cora", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"graph": pickle.dumps({0: [5000]}, protocol=2)}, "its graph has 1 papers"),
        ({"graph": pickle.dumps({node: [1240] for node in range(1240)}, protocol=2)}, "not among its 1240"),
        ({"graph": pickle.dumps({node: [10**30] for node in range(1240)}, protocol=2)}, "does not hold Cora"),
        ({"test.index": b"1000000000000\n"}, "its test papers are 1000000000000 to 1000000000000"),
    ],
    ids=["few", "beyond", "huge", "far"],
)
def test_citation_files_that_do_not_fit_together_are_told(tmp_path, changed, message):
    planetoid(tmp_path / "cora_v2", "cora_v2")
    for part, content in changed.items():
        (tmp_path / "cora_v2" / f"ind.cora_v2.{part}").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset("Cora", tmp_path)


def test_a_citation_graph_is_downloaded(tmp_path, monkeypatch):
    planetoid(tmp_path / "raw", "pubmed")
    with zipfile.ZipFile(tmp_path / "pubmed.zip", "w") as archive:
        for file in (tmp_path / "raw").iterdir():
            archive.write(file, file.name)
    monkeypatch.setenv("GRADFORMER_DGL_CITATION_URL", f"{tmp_path.as_uri()}/{{folder}}.zip")
    assert load_dataset("pubmed", tmp_path / "data").graphs.num_nodes == 1240
