import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.dataset import FeatureSource
from gradformer_dgl.data.readers.tu import read_tu, read_tu_graphs
from gradformer_dgl.support.errors import DataError

WriteTu = Callable[..., Path]


def test_a_small_data_set_by_hand(write_tu: WriteTu) -> None:
    data = read_tu("TINY", write_tu())
    graphs = data.graphs
    assert graphs.node_counts.tolist() == [4, 2, 1]
    assert graphs.edge_counts.tolist() == [8, 2, 0]
    assert graphs.src.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 0, 1]
    assert graphs.dst.tolist() == [1, 2, 0, 2, 0, 1, 3, 2, 1, 0]
    # labels 0, 2, 5 in this order
    assert graphs.node_features.int().tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 1],
        [0, 1, 0],
    ]
    # of the rows 1-2, 1-3, 2-1, 2-3, 3-1, 3-2, 3-4, 4-3: labels 3 3 3 1 3 1 4 4, and 1, 3, 4 are 0, 1, 2
    assert graphs.edge_features.tolist() == [1, 1, 1, 0, 1, 0, 2, 2, 0, 0]
    assert graphs.labels.tolist() == [1, 0, 1]
    assert (data.task, data.level, data.out_size) == ("multiclass", "graph", 2)
    assert (data.node_encoder, data.node_size, data.edge_encoder, data.edge_size) == (
        "linear",
        3,
        "embedding",
        3,
    )
    assert data.splits is None


@pytest.mark.parametrize("folder", ["TINY", "TINY/TINY", "TINY/raw", "TINY_0123abcd/TINY", "TINY_0123abcd"])
def test_every_layout_of_folders_is_found(write_tu: WriteTu, folder: str) -> None:
    assert len(read_tu("TINY", write_tu(folder))) == 3


@pytest.mark.parametrize("archive", ["TINY/TINY.zip", "TINY.zip"])
@pytest.mark.parametrize("prefix", ["TINY/", ""])
@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zips_are_read_in_place(write_tu: WriteTu, archive: str, prefix: str, compression: int) -> None:
    source = write_tu("source") / "source"
    root = source.parent / "root"
    target = root / archive
    target.parent.mkdir(parents=True)
    with zipfile.ZipFile(target, "w", compression) as zipped:
        for file in source.iterdir():
            zipped.write(file, prefix + file.name)
    assert read_tu("TINY", root).graphs.edge_counts.tolist() == [8, 2, 0]
    assert sorted(path.name for path in target.parent.iterdir()) == ["TINY.zip"]


def test_blanks_carriage_returns_and_blank_last_lines_do_not_matter(write_tu: WriteTu) -> None:
    plain = read_tu("TINY", write_tu()).graphs
    adjacency = "1 2\r\n 2,1\r\n2\t3\n3 , 2\n1,3\n+3,1\n3,4\n4,3\n5,6\n6,5"
    other = read_tu("TINY", write_tu(A=adjacency, graph_labels="7\r\n-1\r\n7\r\n\r\n\n")).graphs
    assert torch.equal(plain.src, other.src)
    assert torch.equal(plain.dst, other.dst)
    assert torch.equal(plain.labels, other.labels)


def test_byte_order_marks_are_no_part_of_the_first_number(write_tu: WriteTu) -> None:
    folder = write_tu() / "TINY"
    plain = read_tu("TINY", folder.parent).graphs
    for file in folder.iterdir():
        file.write_text(file.read_text(), encoding="utf-8-sig")
    (folder.parent / "zips").mkdir()
    (folder.parent / "zips" / "TINY.zip").write_bytes(zipped(folder))
    for root in (folder.parent, folder.parent / "zips"):
        marked = read_tu("TINY", root).graphs
        for part in ("node_counts", "src", "dst", "node_features", "edge_features", "labels"):
            assert torch.equal(getattr(marked, part), getattr(plain, part))


def test_byte_order_marks_are_no_part_of_the_first_attribute(write_tu: WriteTu) -> None:
    root = write_tu(node_labels=None)
    file = root / "TINY" / "TINY_node_attributes.txt"
    file.write_text(ATTRIBUTES, encoding="utf-8-sig")
    expected = torch.tensor([[row + 0.5, -row / 10] for row in range(7)])
    assert torch.equal(read_tu("TINY", root).graphs.node_features, expected)
    file.write_text(ATTRIBUTES.replace("\n", " \r\n") + "\r\n \n\n")
    assert torch.equal(read_tu("TINY", root).graphs.node_features, expected)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_byte_order_marks_of_utf_16_are_named(write_tu: WriteTu, encoding: str) -> None:
    root = write_tu()
    file = root / "TINY" / "TINY_graph_labels.txt"
    file.write_text("\ufeff" + file.read_text(), encoding=encoding)
    with pytest.raises(DataError, match=r"TINY_graph_labels.txt begins with the byte order mark of UTF-16"):
        read_tu("TINY", root)


def test_parallel_edges_go_and_self_loops_stay(write_tu: WriteTu) -> None:
    adjacency = "5, 6\n5, 6\n6, 5\n7, 7\n5, 6\n1, 2\n"
    graphs = read_tu("TINY", write_tu(A=adjacency, edge_labels="2\n3\n4\n5\n6\n7\n")).graphs
    assert graphs.edge_counts.tolist() == [1, 2, 1]
    assert graphs.src.tolist() == [0, 0, 1, 0]
    assert graphs.dst.tolist() == [1, 1, 0, 0]
    # the first of the repeated edges keeps its label; 3 and 6 count as categories all the same
    assert graphs.edge_features.tolist() == [3, 0, 1, 2]


def test_nodes_of_a_graph_may_stand_apart(write_tu: WriteTu) -> None:
    root = write_tu(
        A="1, 3\n3, 1\n2, 4\n4, 2\n",
        graph_indicator="2\n1\n2\n1\n",
        graph_labels="0\n1\n",
        node_labels=None,
        node_attributes="2.5\n1.5\n4.5\n3.5\n",
        edge_labels="8\n8\n9\n9\n",
    )
    graphs = read_tu("TINY", root).graphs
    assert graphs.node_counts.tolist() == [2, 2]
    assert graphs.src.tolist() == [0, 1, 0, 1]
    assert graphs.node_features.flatten().tolist() == [1.5, 3.5, 2.5, 4.5]
    assert graphs.edge_features.tolist() == [1, 1, 0, 0]


def test_a_graph_without_nodes_is_kept(write_tu: WriteTu) -> None:
    indicator = "1\n1\n1\n1\n3\n3\n4\n"
    graphs = read_tu("TINY", write_tu(graph_indicator=indicator, graph_labels="7\n0\n1\n1\n")).graphs
    assert graphs.node_counts.tolist() == [4, 0, 2, 1]
    assert graphs.edge_counts.tolist() == [8, 0, 2, 0]
    assert graphs.labels.tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize("edge_labels", [None, "", "\n"])
@pytest.mark.parametrize("adjacency", ["", "\n\n"])
def test_a_data_set_without_edges(write_tu: WriteTu, adjacency: str, edge_labels: str | None) -> None:
    root = write_tu(A=adjacency, edge_labels=edge_labels, edge_attributes=edge_labels)
    for features in ({}, {"tu_features": "labels"}):
        data = read_tu("TINY", root, **features)
        assert data.graphs.node_counts.tolist() == [4, 2, 1]
        assert data.graphs.edge_counts.tolist() == [0, 0, 0]
        assert (data.graphs.labels.tolist(), data.node_size) == ([1, 0, 1], 3)
        assert (data.edge_encoder, data.graphs.edge_features) == (None, None)
    known = FeatureSource(node_labels=((0, 2, 5, 6),), edge_labels=((1, 3),))
    assert read_tu_graphs(root / "TINY", known).node_features.shape == (7, 4)


def test_degrees_take_the_place_of_missing_labels(write_tu: WriteTu) -> None:
    root = write_tu(node_labels=None)
    data = read_tu("TINY", root)
    assert data.graphs.node_features.int().argmax(1).tolist() == [2, 2, 3, 1, 1, 1, 0]
    assert data.graphs.node_features.sum(1).tolist() == [1] * 7
    assert data.node_size == 4
    capped = read_tu("TINY", root, max_degree=2)
    assert capped.graphs.node_features.int().argmax(1).tolist() == [2, 2, 2, 1, 1, 1, 0]


ATTRIBUTES = "".join(f"{row}.5, {-row}e-1\n" for row in range(7))


def test_attributes_stand_before_labels_where_wanted(write_tu: WriteTu) -> None:
    root = write_tu(node_attributes=ATTRIBUTES)
    assert read_tu("TINY", root).node_size == 3
    data = read_tu("TINY", root, use_node_attributes=True)
    assert data.node_size == 5
    assert data.graphs.node_features[3].tolist() == pytest.approx([3.5, -0.3, 0, 1, 0])


def test_attributes_alone_are_used(write_tu: WriteTu) -> None:
    root = write_tu(
        node_labels=None, edge_labels=None, node_attributes=ATTRIBUTES, edge_attributes="1.5\n" * 9 + "2.5\n"
    )
    data = read_tu("TINY", root)
    assert (data.node_encoder, data.node_size) == ("linear", 2)
    assert (data.edge_encoder, data.edge_size) == ("linear", 1)
    assert data.graphs.edge_features.flatten().tolist() == [1.5] * 9 + [2.5]


def test_which_features_a_set_is_read_with(write_tu: WriteTu) -> None:
    with pytest.raises(DataError, match="attributes neither of nodes nor of edges: it has labels alone"):
        read_tu("TINY", write_tu(), tu_features="all")
    root = write_tu(node_attributes=ATTRIBUTES)
    data = read_tu("TINY", root, tu_features="all")
    assert data.graphs.node_features[3].tolist() == pytest.approx([3.5, -0.3, 0, 1, 0])
    assert data.edge_encoder == "embedding"
    write_tu(node_labels=None, edge_attributes="1.5\n" * 9 + "2.5\n")
    data = read_tu("TINY", root, tu_features="all")
    assert (data.node_size, data.edge_encoder, data.edge_size) == (5, "linear", 4)
    write_tu(node_labels=None)
    (root / "TINY" / "TINY_node_labels.txt").unlink()
    data = read_tu("TINY", root, tu_features="labels")
    assert (data.node_size, data.source.degrees, data.edge_encoder) == (4, True, "embedding")


def test_edge_attributes_stand_before_labels_where_wanted(write_tu: WriteTu) -> None:
    root = write_tu(edge_attributes="1.5\n" * 10)
    assert read_tu("TINY", root).edge_encoder == "embedding"
    data = read_tu("TINY", root, use_edge_attributes=True)
    assert (data.edge_encoder, data.edge_size) == ("linear", 4)
    assert data.graphs.edge_features[6].tolist() == [1.5, 0, 0, 1]


def test_several_columns_of_labels(write_tu: WriteTu) -> None:
    node_labels = "".join(f"{row % 2}, {row % 3}\n" for row in range(7))
    edge_labels = "".join(f"{row % 2}, {row}\n" for row in range(10))
    data = read_tu("TINY", write_tu(node_labels=node_labels, edge_labels=edge_labels))
    assert data.node_size == 5
    assert data.edge_size == (2, 10)
    assert data.graphs.node_features[5].int().tolist() == [0, 1, 0, 0, 1]
    assert data.graphs.edge_features[1].tolist() == [0, 4]


def test_graph_attributes_make_a_regression(write_tu: WriteTu) -> None:
    data = read_tu("TINY", write_tu(graph_labels=None, graph_attributes="1.5, 2\n-0.5, 3\n4, 5\n"))
    assert (data.task, data.out_size) == ("regression", 2)
    assert data.graphs.labels.tolist() == [[1.5, 2], [-0.5, 3], [4, 5]]


FAULTS = {
    "missing adjacency": ({"A": None}, "lacks the raw file TINY_A.txt"),
    "missing indicator": ({"graph_indicator": None}, "lacks the raw file TINY_graph_indicator.txt"),
    "missing labels": ({"graph_labels": None}, "lacks the raw file TINY_graph_labels.txt"),
    "empty adjacency": ({"A": ""}, "TINY_edge_labels.txt is not; get the data again"),
    "empty adjacency, edge attributes": (
        {"A": "\n", "edge_labels": None, "edge_attributes": "1.5\n" * 10},
        "TINY_edge_attributes.txt is not; get the data again",
    ),
    "blank labels": ({"graph_labels": "\n\n"}, "TINY_graph_labels.txt is empty"),
    "empty attributes": ({"node_labels": None, "node_attributes": "\n"}, "TINY_node_attributes.txt is empty"),
    "missing node": (
        {"A": "1, 2\n1, 8\n"},
        "TINY_A.txt, line 2: an edge to node 8, but nodes are counted from 1 to 7",
    ),
    "node zero": ({"A": "1, 2\n0, 1\n"}, "TINY_A.txt, line 2: an edge to node 0"),
    "edge across": ({"A": "1, 2\n2, 1\n4, 5\n"}, "TINY_A.txt, line 3: an edge between graph 1 and graph 2"),
    "one column": ({"A": "1, 2\n3\n"}, "TINY_A.txt, line 2: the number of columns is not 2"),
    "three columns": ({"A": "1, 2\n1, 2, 3\n"}, "TINY_A.txt, line 2: the number of columns is not 2"),
    "words": ({"graph_indicator": "1\none\n"}, "TINY_graph_indicator.txt, line 2: an integer is expected"),
    "fraction": ({"node_labels": "1.5\n"}, "TINY_node_labels.txt, line 1: an integer is expected"),
    "sign alone": ({"node_labels": "1\n-\n"}, "TINY_node_labels.txt, line 2: an integer is expected"),
    "empty column": ({"A": "1,,2\n"}, "TINY_A.txt, line 1: an integer is expected"),
    "open column": ({"A": "1,2,\n"}, "TINY_A.txt, line 1: an integer is expected"),
    "leading comma": ({"A": ",1,2\n"}, "TINY_A.txt, line 1: an integer is expected"),
    "huge number": ({"A": "1, 9999999999999999999\n"}, "TINY_A.txt, line 1: an integer is expected"),
    "big number": (
        {"A": "1, 999999999999999999\n"},
        "TINY_A.txt, line 1: an edge to node 999999999999999999",
    ),
    "gap": (
        {"node_labels": "5\n\n0\n0\n2\n5\n5\n2\n"},
        "TINY_node_labels.txt, line 2: blank, but more lines follow",
    ),
    "graph zero": ({"graph_indicator": "1\n0\n"}, "TINY_graph_indicator.txt, line 2: graph 0"),
    "graph a million": (
        {"graph_indicator": "1\n90000000\n"},
        "line 2: graph 90000000, but there are 2 nodes",
    ),
    "few graph labels": (
        {"graph_labels": "1\n1\n"},
        "TINY_graph_labels.txt has 2 lines, but there are 3 graphs",
    ),
    "many graph labels": (
        {"graph_labels": "1\n" * 4},
        "TINY_graph_labels.txt has 4 lines, but there are 3 graphs",
    ),
    "few node labels": (
        {"node_labels": "1\n" * 6},
        "TINY_node_labels.txt has 6 lines, but there are 7 nodes",
    ),
    "many edge labels": (
        {"edge_labels": "1\n" * 11},
        "TINY_edge_labels.txt has 11 lines, but there are 10 edges",
    ),
    "nan": (
        {"node_labels": None, "node_attributes": "1\nnan\n"},
        "TINY_node_attributes.txt, line 2: NaN or infinite",
    ),
    "infinity": (
        {"graph_labels": None, "graph_attributes": "1\n2\ninf\n"},
        "TINY_graph_attributes.txt, line 3: NaN",
    ),
    "beyond float32": (
        {"graph_labels": None, "graph_attributes": "1\n1e300\n3\n"},
        "TINY_graph_attributes.txt, line 2: 1e+300 is no finite number in float32",
    ),
    "node beyond float32": (
        {"node_labels": None, "node_attributes": "1, 2\n" * 5 + "1, -4e38\n"},
        "TINY_node_attributes.txt, line 6: -4e+38 is no finite number in float32",
    ),
    "gap among floats": (
        {"node_labels": None, "node_attributes": "1.5\r\n2.5\r\n \r\n" + "3.5\r\n" * 5},
        "TINY_node_attributes.txt, line 3: blank, but more lines follow",
    ),
    "gap before the first float": (
        {"graph_labels": None, "graph_attributes": "\n1, 2\n1, 2\n1, 2\n"},
        "TINY_graph_attributes.txt, line 1: blank, but more lines follow",
    ),
    "gap before no float": (
        {"node_labels": None, "node_attributes": "1.5\n\n2.5\nx\n"},
        "TINY_node_attributes.txt, line 2: blank, but more lines follow",
    ),
    "gap before infinity": (
        {"node_labels": None, "node_attributes": "1.5\n\n2.5\ninf\n"},
        "TINY_node_attributes.txt, line 2: blank, but more lines follow",
    ),
    "gap behind no float": (
        {"node_labels": None, "node_attributes": "1.5\nx\n\n2.5\n"},
        "TINY_node_attributes.txt, line 2: a number",
    ),
    "gap behind a ragged line": (
        {"node_labels": None, "node_attributes": "1,2\n3\n\n1,2\n"},
        "TINY_node_attributes.txt, line 2: a number",
    ),
    "no float": (
        {"node_labels": None, "node_attributes": "1.5\n2.5\nx\n"},
        "TINY_node_attributes.txt, line 3: a number",
    ),
    "ragged": (
        {"node_labels": None, "node_attributes": "1,2\n3\n"},
        "TINY_node_attributes.txt, line 2: a number",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_line_that_names_the_place(write_tu: WriteTu, fault: str) -> None:
    replaced, message = FAULTS[fault]
    with pytest.raises(DataError) as caught:
        read_tu("TINY", write_tu(**replaced))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("use_node_attributes", "TINY_node_attributes.txt"),
        ("use_edge_attributes", "TINY_edge_attributes.txt"),
    ],
)
def test_attributes_that_are_not_there_are_refused(write_tu: WriteTu, option: str, file: str) -> None:
    with pytest.raises(DataError, match=f"has no {file}; read it without {option}"):
        read_tu("TINY", write_tu(), **{option: True})


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"TINY/{file.name}")
    return buffer.getvalue()


def test_a_zip_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "TINY.zip").write_text("<html>not here</html>")
    with pytest.raises(DataError, match=r"TINY.zip is not a zip file \(.*\); delete it and get it again"):
        read_tu("TINY", tmp_path)


def test_a_zip_with_flipped_bytes(write_tu: WriteTu, tmp_path: Path) -> None:
    # Text that does not compress well, so that there is something to flip in the middle of the member.
    labels = "".join(f"{number}\n" for number in np.random.default_rng(0).integers(0, 1000, 7))
    content = bytearray(zipped(write_tu("source", node_labels=labels) / "source"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo("TINY/TINY_node_labels.txt")
    start = info.header_offset + 30 + len(info.filename)
    for position in range(start + 2, start + 8):
        content[position] ^= 0xFF
    (tmp_path / "TINY.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"TINY_node_labels.txt cannot be read \(.*\); delete it"):
        read_tu("TINY", tmp_path)


PUBLISHED = {
    # graphs, nodes, directed edges, node columns, edge categories, graphs per class
    "MUTAG": (188, 3371, 7442, 7, 4, [63, 125]),
    "PROTEINS": (1113, 43471, 162088, 3, None, [663, 450]),
    "NCI1": (4110, 122747, 265506, 37, None, [2053, 2057]),
    "IMDB-BINARY": (1000, 19773, 193062, 136, None, [500, 500]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_the_published_data_sets(data_root: Path, name: str) -> None:
    data = load_dataset(name, data_root)
    graphs, nodes, edges, columns, categories, classes = PUBLISHED[name]
    assert (len(data), data.graphs.num_nodes, data.graphs.num_edges) == (graphs, nodes, edges)
    assert data.node_size == data.graphs.node_features.shape[1] == columns
    assert data.edge_size == categories
    assert torch.bincount(data.graphs.labels).tolist() == classes
    assert data.graphs.node_features.sum(1).eq(1).all()


def test_rows_of_a_published_data_set_as_plain_python_reads_them(data_root: Path) -> None:
    with zipfile.ZipFile(data_root / "MUTAG" / "MUTAG.zip") as archive:
        lines = {
            part: archive.read(f"MUTAG/MUTAG_{part}.txt").decode().split("\n")
            for part in ("A", "graph_indicator", "node_labels", "edge_labels")
        }
    graph_of = [int(line) for line in lines["graph_indicator"] if line]
    first = {graph: graph_of.index(graph) for graph in set(graph_of)}
    edges: list[list[tuple[int, int, int]]] = [[] for _ in first]
    for line, label in zip(lines["A"], lines["edge_labels"], strict=True):
        if line:
            src, dst = (int(end) - 1 for end in line.split(","))
            graph = graph_of[src]
            edges[graph - 1].append((src - first[graph], dst - first[graph], int(label)))
    graphs = load_dataset("MUTAG", data_root).graphs
    read = torch.stack([graphs.src, graphs.dst, graphs.edge_features.int()], 1).split(
        graphs.edge_counts.tolist()
    )
    assert [sorted(map(tuple, part.tolist())) for part in read] == [sorted(part) for part in edges]
    node_labels = [int(line) for line in lines["node_labels"] if line]
    assert graphs.node_features.int().argmax(1).tolist() == node_labels
