import json
from pathlib import Path

import networkx as nx
import pytest

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.preprocess import preprocess_graphs

CHAINS = (2, 30, 4)


@pytest.fixture
def chains(tmp_path):
    """A cache of chains of nodes with a node apart from each."""
    graphs = [nx.disjoint_union(nx.path_graph(size), nx.empty_graph(1)) for size in CHAINS]
    preprocess_graphs(graphs, tmp_path / "chains.h5", n_jobs=1, encodings=("rwse:2",))
    return tmp_path / "chains.h5"


def fields(text):
    """Return the words of each line after its name."""
    return {line[:18].strip(): line[18:].strip() for line in text.splitlines()}


def test_the_table_says_what_is_inside(command, chains):
    done = command("info", chains, "--diameters", "--verify")
    assert (done.status, done.err) == (0, "")
    shown = fields(done.out)
    pairs = sum((size + 1) ** 2 for size in CHAINS)
    assert shown["file"] == str(chains)
    assert shown["graphs"] == "3"
    assert shown["nodes"] == "39; in a graph 3 to 31, median 5"
    assert shown["pairs of nodes"] == f"{pairs:,}"
    assert shown["layout"] == "dense, uint8"
    assert shown["longest distance"] == "29 hops"
    assert shown["diameters"] == "longest distance in a graph 1 to 29, median 3"
    assert shown["unreachable"] == f"{2 * sum(CHAINS) / pairs:.2%} of the pairs"
    assert (shown["encodings"], shown["extra distances"]) == ("rwse:2", "none")
    assert shown["on disk"].startswith(f"{chains.stat().st_size:,} bytes")
    assert shown["verified"] == "all checksums agree"
    assert "\x1b" not in done.out
    counts = {line.split()[0]: line.split()[-3:] for line in done.out.split("distance ")[-1].splitlines()[1:]}
    assert counts["0"][0] == "39"
    assert counts["1"][0] == str(2 * sum(size - 1 for size in CHAINS))
    assert "16 to 29" in done.out
    assert counts["16"][-3] == str(2 * sum(30 - distance for distance in range(16, 30)))
    assert counts["none"][0] == str(2 * sum(CHAINS))
    assert max(len(words[-1]) for words in counts.values()) == 30


def test_a_sparse_cache(command, tmp_path):
    path = preprocess_graphs([nx.path_graph(9)], tmp_path / "x.h5", layout="sparse", max_distance=2).path
    shown = fields(command("info", path, "--verify").out)
    assert shown["layout"] == "sparse, uint8, 39 pairs within the cut-off"
    assert shown["cut-off"] == "2 hops"
    assert shown["unreachable"] == f"{1 - 39 / 81:.2%} of the pairs"
    assert shown["verified"] == "all checksums agree"


def test_json_is_one_line(command, chains):
    done = command("info", chains, "--json", "--diameters")
    facts = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert facts["diameters"] == {"min": 1, "median": 3, "max": 29}
    assert facts["graph_sizes"] == {"min": 3, "median": 5, "max": 31}
    assert facts["histogram"] == DistanceCache(chains).histogram().tolist()
    assert facts["arrays"]["distances"]["bytes"] == facts["pairs"]
    assert sum(array["stored"] for array in facts["arrays"].values()) < facts["bytes"]


def test_fingerprints_of_the_data(command, raw, cached, tmp_path):
    options = ("--verify", "--data", "SHAPES", "--data-root", raw)
    done = command("info", cached, *options)
    assert fields(done.out)["verified"] == "all checksums agree, the graphs are those of SHAPES"
    other = preprocess_graphs([nx.path_graph(9)] * 97, tmp_path / "other.h5", n_jobs=1).path
    done = command("info", other, *options)
    assert (done.status, done.out) == (1, "")
    assert "belongs to other data: graph 0 differs" in done.err
    assert command("info", cached, "--data", "SHAPES").status == 2


def test_the_picture_is_whole_or_not_there(command, chains, tmp_path, monkeypatch):
    from matplotlib import image

    before = sorted(tmp_path.iterdir())
    picture = tmp_path / "chains.png"
    assert command("info", chains, "--plot", picture).status == 0
    pixels = image.imread(picture)
    assert pixels.shape == (540, 1350, 4)
    assert 0.05 < (pixels[..., :3] < 1).any(2).mean() < 0.5

    assert command("info", chains, "--plot", tmp_path / "chains.docx").err.startswith(
        f"Error: {tmp_path}/chains.docx is no picture: give it one of the suffixes"
    )
    done = command("info", chains, "--plot", tmp_path / "none" / "chains.png")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
    assert "cannot be written: No such file or directory" in done.err

    def fill_the_disk(draft, file):
        raise OSError(28, "No space left on device")

    picture.unlink()
    monkeypatch.setattr(Path, "replace", fill_the_disk)
    assert "No space left" in command("info", chains, "--plot", picture).err
    assert sorted(tmp_path.iterdir()) == before


def test_empty_graphs_can_be_drawn(command, tmp_path):
    path = preprocess_graphs([([], [], 0)], tmp_path / "x.h5", n_jobs=1).path
    done = command("info", path, "--plot", tmp_path / "x.svg", "--diameters", "--verify")
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "x.svg").read_text().rstrip().endswith("</svg>")
