"""`gradformer-dgl predict`: every kind of input and task, its table and its mistakes."""

import csv
import gzip
import importlib
import io
import re
import shutil
import zipfile

import dgl
import networkx as nx
import pytest
import torch

from gradformer_dgl import Predictor
from gradformer_dgl.data import load_dataset
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.prediction import inputs
from gradformer_dgl.training.tensor_files import load_tensors, save_tensors

MEAN = {"encoding": "rwse:5"}


@pytest.fixture
def shapes(shapes_run):
    return shapes_run("shapes", **MEAN)


def numbers(rows, first: int, last: int | None = None) -> torch.Tensor:
    return torch.tensor([[float(cell) for cell in row[first:last]] for row in rows])


def test_values_in_their_unit_for_rows_in_their_order(molecule_run, workplace, table, monkeypatch):
    monkeypatch.setattr(inputs, "MOLECULES_AT_ONCE", 13)
    run = molecule_run("mass", "shift", seeds=(0, 1))
    header, rows, done = table(run.folder, workplace / "molecules.csv")
    assert header == ["row", "SMILES", "mass", "shift", "mass_std", "shift_std"]
    with (workplace / "molecules.csv").open() as file:
        assert [row[:2] for row in rows] == [
            [str(number), row["SMILES"]] for number, row in enumerate(csv.DictReader(file))
        ]
    each = torch.stack([run.expected(0), run.expected(1)])
    assert torch.allclose(numbers(rows, 2, 4), each.mean(0), rtol=1e-4)
    assert torch.allclose(numbers(rows, 4), each.std(0), rtol=1e-2, atol=1e-3)
    assert "predicted 60 of 60" in done.err
    header, rows, _ = table(run.folder, workplace / "molecules.csv", "--seed", "1")
    assert header == ["row", "SMILES", "mass", "shift"]
    assert torch.allclose(numbers(rows, 2), each[1], rtol=1e-4)
    cached = table(run.folder, workplace / "molecules.csv", "--seed", "1", "--cache", run.request.cache)
    assert torch.allclose(numbers(cached[1], 2), numbers(rows, 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("targets", "header"),
    [
        (("amine",), ["amine"]),
        (("amine", "ring"), ["amine", "ring"]),
        (("kind",), ["probability_alcohol", "probability_amine", "probability_hydrocarbon", "class"]),
    ],
)
def test_probabilities_of_each_task(molecule_run, workplace, table, targets, header):
    run = molecule_run(*targets)
    names, rows, _ = table(run.folder, workplace / "molecules.csv")
    assert names[2:] == header
    expected = run.expected(0)
    if targets == ("kind",):
        kinds = ["alcohol", "amine", "hydrocarbon"]
        assert [row.pop() for row in rows] == [kinds[place] for place in expected.argmax(1).tolist()]
    assert torch.allclose(numbers(rows, 2), expected, atol=1e-5)


def test_rows_that_cannot_be_read_stay_empty(molecule_run, workplace, table, monkeypatch, tmp_path):
    monkeypatch.setattr(inputs, "MOLECULES_AT_ONCE", 2)
    run = molecule_run("mass")
    lines = ["id,structure", "a,CCO", "b,C(C", "c,", '"d\n2",CCN', "e,nothing", "f,xx", "g,CCCO"]
    with gzip.open(tmp_path / "new.csv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    header, rows, done = table(run.folder, tmp_path / "new.csv.gz", "--smiles-column", "structure", status=3)
    assert header == ["row", "structure", "mass"]
    assert [row[1] for row in rows] == ["CCO", "C(C", "", "CCN", "nothing", "xx", "CCCO"]
    assert [number for number, row in enumerate(rows) if row[2] == ""] == [1, 2, 4, 5]
    assert "new.csv.gz: RDKit cannot read 4 of 7 molecules (lines 3, 4, 7, 8): left empty" in done.err
    whole = tmp_path / "whole.csv"
    whole.write_text("smiles\nCCO\nCCN\nCCCO\n")
    _, alone, _ = table(run.folder, whole)
    assert torch.allclose(numbers([rows[0], rows[3], rows[6]], 2), numbers(alone, 2), rtol=1e-6)


def test_molecules_that_fail_the_checks_are_predicted_where_they_were_trained_on(
    molecule_run, trained, workplace, table, tmp_path
):
    lines = (workplace / "molecules.csv").read_text().splitlines()
    lines[5:5] = ["CC(C)(C)(C)C,500.5,7.25,0,0,hydrocarbon", "[#119],1,1,0,0,hydrocarbon"]
    file = workplace / "five_bonds.csv"
    file.write_text("\n".join(lines) + "\n")
    _, rows, done = table(molecule_run("mass").folder, file, status=3)
    assert [number for number, row in enumerate(rows) if row[2] == ""] == [4, 5]
    assert "RDKit cannot read 2 of 62 molecules (lines 6, 7): left empty" in done.err
    options = DataOptions(target_columns=("mass",), sanitize=False)
    run = trained("five_bonds", str(file), options, message_passing="gine")
    assert load_dataset(str(file), **options.given()).graphs.node_counts[4] == 6
    _, rows, done = table(run.folder, file, status=3)
    assert rows.pop(5)[2] == ""
    assert "RDKit cannot read 1 of 62 molecules (line 7): left empty" in done.err
    assert torch.allclose(numbers(rows, 2), run.expected(0), rtol=1e-4)


def test_rows_whose_weights_are_no_numbers_are_named(molecule_run, table, tmp_path):
    run = shutil.copytree(molecule_run("mass").folder, tmp_path / "run")
    weights = run / "seed-0" / "weights.safetensors"
    tensors, facts = load_tensors(weights)
    tensors["target_deviation"].fill_(torch.inf)
    save_tensors(weights, tensors, facts)
    (tmp_path / "new.csv").write_text("smiles\nCCO\nC(C\nCCN\n")
    _, rows, done = table(run, tmp_path / "new.csv", status=3)
    assert [row[2] in ("inf", "-inf") for row in rows] == [True, False, True]
    assert "new.csv: 2 predictions are not finite (row 0, 2): look for features far beyond" in done.err


def test_a_folder_and_a_zip_in_the_tu_format(shapes, shapes_root, table, tmp_path):
    expected = torch.stack([shapes.expected(0), shapes.expected(1)]).mean(0)
    folder = shutil.copytree(shapes_root / "SHAPES", tmp_path / "renamed")
    (folder / "SHAPES_graph_labels.txt").unlink()
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"SHAPES/{file.name}")
    for path in (folder, tmp_path / "shapes.zip"):
        header, rows, _ = table(shapes.folder, path)
        assert header == ["graph", "probability_-1", "probability_1", "class"]
        assert [row[0] for row in rows] == [str(number) for number in range(97)]
        assert [row[3] for row in rows] == [("-1", "1")[place] for place in expected.argmax(1).tolist()]
        assert torch.allclose(numbers(rows, 1, 3), expected, atol=1e-5)


def test_other_labels_than_in_training(shapes, shapes_root, mistake, tmp_path):
    folder = shutil.copytree(shapes_root / "SHAPES", tmp_path / "OTHER")
    labels = folder / "SHAPES_node_labels.txt"
    text = labels.read_text()
    labels.write_text(text.replace("2", "17", 3))
    message = mistake(shapes.folder, folder)
    assert "SHAPES_node_labels.txt: the node labels have the value 17, but those of the training" in message
    labels.unlink()
    assert "has no SHAPES_node_labels.txt, but the training data had node labels" in mistake(
        shapes.folder, folder
    )


def test_a_label_that_is_missing_leaves_the_others_their_columns(shapes, shapes_root, table, tmp_path):
    folder = shutil.copytree(shapes_root / "SHAPES", tmp_path / "SHAPES")
    labels = folder / "SHAPES_node_labels.txt"
    labels.write_text(labels.read_text().replace("0", "2"))
    _, rows, _ = table(shapes.folder, folder)
    graphs = load_dataset("SHAPES", shapes_root).graphs
    graphs.node_features[:, 2] |= graphs.node_features[:, 0]
    graphs.node_features[:, 0] = False
    expected = Predictor.from_run(shapes.folder).predict(graphs)
    assert torch.allclose(numbers(rows, 1, 3), expected, atol=1e-6)


def test_nodes_of_a_dgl_file(trained, table, tmp_path):
    run = trained("nodes", "graphs_to_predict:marked_nodes", DataOptions())
    graphs = importlib.import_module("graphs_to_predict").marked_nodes()
    for graph in graphs:
        del graph.ndata["label"]
    dgl.save_graphs(str(tmp_path / "graphs.bin"), graphs)
    header, rows, _ = table(run.folder, tmp_path / "graphs.bin")
    assert header == ["graph", "node", "probability_0", "probability_2", "class"]
    places = [(graph, node) for graph, one in enumerate(graphs) for node in range(one.num_nodes())]
    assert [(int(row[0]), int(row[1])) for row in rows] == places
    assert torch.allclose(numbers(rows, 2, 4), run.expected(0), atol=1e-5)


def test_predictions_that_are_no_numbers_are_named(trained, table, tmp_path, caplog):
    run = trained("nodes", "graphs_to_predict:marked_nodes", DataOptions())
    graphs = importlib.import_module("graphs_to_predict").marked_nodes()[:4]
    usual = Predictor.from_run(run.folder).predict(graphs)
    graphs[2].ndata["feat"][1, 0] = 3e38
    with caplog.at_level("WARNING", "gradformer_dgl"):
        found = Predictor.from_run(run.folder).predict(graphs)
    wrong = (~found.isfinite()).any(1).nonzero().flatten().tolist()
    first = sum(graph.num_nodes() for graph in graphs[:2])
    assert first + 1 in wrong
    assert set(wrong) <= set(range(first, first + graphs[2].num_nodes()))
    named = ", ".join(map(str, wrong[:5]))
    assert f"{len(wrong)} of {len(found)} predictions are not finite (rows {named}" in caplog.text
    right = [row for row in range(len(found)) if row not in wrong]
    assert torch.allclose(found[right], usual[right], atol=1e-6)
    dgl.save_graphs(str(tmp_path / "graphs.bin"), graphs)
    _, rows, done = table(run.folder, tmp_path / "graphs.bin")
    assert [row[4] == "" for row in rows] == [row in wrong for row in range(len(rows))]
    assert f"graphs.bin: {len(wrong)} predictions are not finite (node {wrong[0] - first} of 2" in done.err


@pytest.fixture
def degrees(trained):
    return trained("degrees", "graphs_to_predict:degrees", DataOptions(task="binary"))


def test_lists_of_edges_in_the_order_of_their_names(degrees, table, tmp_path):
    folder = tmp_path / "edges"
    folder.mkdir()
    graphs = importlib.import_module("graphs_to_predict").graphs_of(60)
    for number in (7, 3, 5):
        src, dst = graphs[number].edges()
        lines = [f"node{a} node{b}" for a, b in zip(src.tolist(), dst.tolist(), strict=True) if a <= b]
        (folder / f"graph-{number}.edgelist").write_text("# a comment\n" + "\n".join(lines) + "\n")
    (folder / "notes.md").write_text("not a graph")
    header, rows, _ = table(degrees.folder, folder)
    assert header == ["graph", "target"]
    assert [row[0] for row in rows] == ["graph-3.edgelist", "graph-5.edgelist", "graph-7.edgelist"]
    assert torch.allclose(numbers(rows, 1), degrees.expected(0)[[3, 5, 7]], atol=1e-5)
    # As networkx and spreadsheets write the same graph.
    named = nx.Graph(zip(*(ends.tolist() for ends in graphs[7].edges()), strict=True))
    nx.set_edge_attributes(named, "#fff}", "colour")
    nx.write_edgelist(named, tmp_path / "networkx.edgelist")
    lines = "".join(f"{a} {b}\n" for a, b in named.edges)
    (tmp_path / "marked.edgelist").write_text(lines, encoding="utf-8-sig")
    for name in ("networkx", "marked"):
        _, rows, _ = table(degrees.folder, tmp_path / f"{name}.edgelist")
        assert torch.allclose(numbers(rows, 1), degrees.expected(0)[[7]], atol=1e-5)
    (folder / "star.txt").write_text("alone\n" + "".join(f"0,{leaf}\n" for leaf in range(1, 40)))
    _, _, done = table(degrees.folder, folder / "star.txt")
    assert "1 nodes have more than" in done.err


def test_graphml_with_labels_and_names(shapes, trained, shapes_root, table, tmp_path):
    folder = tmp_path / "graphml"
    folder.mkdir()
    ring = nx.cycle_graph(9)
    nx.set_node_attributes(ring, {node: node % 3 for node in ring}, "node_labels")
    nx.write_graphml(ring, folder / "b-ring.graphml")
    chain = nx.path_graph(6)
    nx.set_node_attributes(chain, {node: node % 3 for node in chain}, "node_labels")
    nx.write_graphml(chain.to_directed(), folder / "a-chain.graphml")
    _, rows, _ = table(shapes.folder, folder)
    # Graph 1 of the data is the same chain of 6.
    expected = torch.stack([shapes.expected(0), shapes.expected(1)]).mean(0)
    assert [row[0] for row in rows] == ["a-chain.graphml", "b-ring.graphml"]
    assert torch.allclose(numbers(rows[:1], 1, 3), expected[[1]], atol=1e-5)
    marked = trained("nodes", "graphs_to_predict:marked_nodes", DataOptions())
    graph = importlib.import_module("graphs_to_predict").marked_nodes()[0]
    named = nx.Graph()
    for node, values in enumerate(graph.ndata["feat"].tolist()):
        named.add_node(f"v{node}", feat=", ".join(repr(value) for value in values))
    named.add_edges_from(
        (f"v{a}", f"v{b}") for a, b in zip(*map(torch.Tensor.tolist, graph.edges()), strict=True)
    )
    nx.write_graphml(named, tmp_path / "one.graphml")
    header, rows, _ = table(marked.folder, tmp_path / "one.graphml")
    assert header[:2] == ["graph", "node"]
    assert [row[1] for row in rows] == list(named)
    assert torch.allclose(numbers(rows, 2, 4), marked.expected(0)[: len(named)], atol=1e-5)


def test_stdout_and_files_that_are_there(degrees, command, mistake, tmp_path):
    edges = tmp_path / "ring.edgelist"
    edges.write_text("a b\nb c\nc a\n")
    done = command("-q", "predict", degrees.folder, edges, "-o", "-")
    assert (done.status, done.err) == (0, "")
    assert command("predict", degrees.folder, edges, "-o", "-").err.splitlines() == [
        "stdout: predicted 1 of 1"
    ]
    header, row = csv.reader(io.StringIO(done.out))
    assert header == ["graph", "target"]
    assert row[0] == "ring.edgelist"
    out = tmp_path / "out.csv"
    out.write_text("mine")
    assert "out.csv is there already: choose another --out, or --overwrite it" in mistake(
        degrees.folder, edges, out=out
    )
    assert out.read_text() == "mine"
    assert "is a folder: give the name of a file in it" in mistake(degrees.folder, edges, out=tmp_path)
    assert "is the input" in mistake(degrees.folder, edges, "--overwrite", out=edges)
    assert command("-q", "predict", degrees.folder, edges, "-o", out, "--overwrite").status == 0
    assert out.read_text() == done.out
    assert "cannot be written: No such file" in mistake(
        degrees.folder, edges, out=tmp_path / "none" / "o.csv"
    )
    assert command("predict", degrees.folder, edges).status == 2


def test_inputs_that_are_none(degrees, shapes, workplace, mistake, tmp_path):
    def written(name: str, content: bytes = b""):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert "is not a run folder" in mistake(tmp_path, workplace / "molecules.csv")
    assert "no file or folder" in mistake(degrees.folder, tmp_path / "nothing.bin")
    assert "no known kind: give a CSV file of molecules" in mistake(degrees.folder, written("graphs.xyz"))
    message = mistake(degrees.folder, workplace / "molecules.csv")
    assert (
        "graphs_to_predict.degrees, which the run was trained on, cannot be computed from SMILES" in message
    )
    assert "leave out --smiles-column" in mistake(
        degrees.folder, written("one.txt", b"a b\n"), "--smiles-column", "x"
    )
    for number, content in enumerate((b"", b"hello world, this is no graph at all")):
        assert "is no file of dgl.save_graphs" in mistake(degrees.folder, written(f"{number}.bin", content))
    graphs = importlib.import_module("graphs_to_predict").graphs_of(9)
    dgl.save_graphs(str(tmp_path / "whole.bin"), graphs)
    half = (tmp_path / "whole.bin").read_bytes()[:900]
    assert "half.bin is no whole DGL file" in mistake(degrees.folder, written("half.bin", half))
    assert "whole.bin: the graphs have no node features" in mistake(shapes.folder, tmp_path / "whole.bin")
    several = dgl.heterograph({("a", "to", "b"): ([0], [1]), ("b", "to", "a"): ([1], [0])})
    dgl.save_graphs(str(tmp_path / "types.bin"), [several])
    assert "graph 0 has 2 node types and 2 edge types: convert" in mistake(
        degrees.folder, tmp_path / "types.bin"
    )
    assert "is no GraphML" in mistake(degrees.folder, written("broken.graphml", b"<graphml><node"))
    assert "line 2: 3 words" in mistake(degrees.folder, written("three.edgelist", b"a b\na b c\n"))
    assert "nil.edgelist is empty" in mistake(degrees.folder, written("nil.edgelist"))
    assert "not UTF-8" in mistake(degrees.folder, written("latin.edgelist", b"a \xff\n"))
    assert "reads features of nodes, which a list of edges does not have" in mistake(
        shapes.folder, tmp_path / "three.edgelist"
    )
    assert "is not a zip file" in mistake(shapes.folder, written("no.zip", b"PK no"))
    (tmp_path / "folder").mkdir()
    assert "has no graphs: give" in mistake(degrees.folder, tmp_path / "folder")
    text = nx.Graph()
    text.add_node("a", feat="red")
    nx.write_graphml(text, tmp_path / "text.graphml")
    assert "'red', is not made of numbers" in mistake(shapes.folder, tmp_path / "text.graphml")


def test_molecules_that_are_none(molecule_run, mistake, tmp_path):
    run = molecule_run("mass")
    for content, message in [
        ("", "is empty"),
        ("smiles\n", "has no rows below its header"),
        ("structure\nCCO\n", "no column 'smiles'; choose --smiles-column from structure"),
        ("smiles\nC1CC\nxx\n", r"RDKit cannot read any of the 2 molecules \(line 2: 'C1CC'\)"),
    ]:
        (tmp_path / "new.csv").write_text(content)
        assert re.search(message, mistake(run.folder, tmp_path / "new.csv"))
    assert "no column 'x'; its columns are smiles" in mistake(
        run.folder, tmp_path / "new.csv", "--smiles-column", "x"
    )
