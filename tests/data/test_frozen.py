"""A cache of format version 1 and a run that an early version of the package wrote stay readable."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import load_dataset
from gradformer_dgl.plots.curves import curves_figure
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.training.evaluate import evaluate_runs
from gradformer_dgl.training.runs import train_run
from gradformer_dgl.training.seed_files import read_records
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.trained_run import open_run

FROZEN = Path(__file__).parent / "frozen"


@pytest.fixture
def run(tmp_path, shapes_root):
    """The run, its cache and its data, as a run of today would be opened."""
    shutil.copytree(FROZEN, tmp_path / "frozen")
    folder, cache = tmp_path / "frozen" / "run", tmp_path / "frozen" / "SHAPES.hdf5"
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("cache: SHAPES.hdf5", f"cache: {cache}"))
    return open_run(folder, str(shapes_root))


def test_the_cache_holds_what_is_found_today(shapes_root):
    cache, graphs = DistanceCache(FROZEN / "SHAPES.hdf5"), load_dataset("SHAPES", shapes_root).graphs
    cache.verify()
    cache.verify(graphs)
    assert (len(cache), cache.encodings, cache.dtype, cache.max_distance) == (97, ("rwse:3",), np.uint8, None)
    first = 0
    for number, (nodes, edges) in enumerate(
        zip(graphs.node_counts.tolist(), graphs.edge_counts.tolist(), strict=True)
    ):
        ends = torch.stack([graphs.src, graphs.dst])[:, first : first + edges].T.tolist()
        first += edges
        graph = nx.empty_graph(nodes)
        graph.add_edges_from(ends)
        lengths = dict(nx.all_pairs_shortest_path_length(graph))
        expected = [[lengths[i].get(j, 255) for j in range(nodes)] for i in range(nodes)]
        np.testing.assert_array_equal(cache[number], expected)
        adjacency = nx.to_numpy_array(graph)
        walk = adjacency / adjacency.sum(1, keepdims=True).clip(1)
        powers = [np.linalg.matrix_power(walk, steps).diagonal() for steps in (1, 2, 3)]
        np.testing.assert_allclose(cache.encoding("rwse:3", number), np.stack(powers, 1), atol=1e-6)


def test_the_run_scores_as_it_did(run):
    written = json.loads((FROZEN / "run" / "result.json").read_text())
    scored = evaluate_runs(run)
    assert scored["mean"] == pytest.approx(written["mean"])
    assert evaluate_runs(run, part="val")["mean"] == pytest.approx(written["val_mean"])
    # Scores of a few graphs could agree by chance.
    losses = [json.loads(line) for line in (FROZEN / "run/seed-0/metrics.jsonl").read_text().splitlines()]
    best = losses[written["runs"][0]["best_epoch"] - 1]
    dataset = run.dataset
    probabilities = Predictor.from_run(run.folder, data_root=run.spec.data_root).predict(dataset.graphs)
    chosen = split_of(dataset, run.config, 0)["val"]
    loss = -probabilities[chosen, dataset.graphs.labels[chosen]].log().mean().item()
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)


def test_its_curve_is_drawn_without_the_score_of_the_training_data(run):
    records = read_records(Path(run.folder) / "seed-0")
    loss, score, *_ = curves_figure({0: records}).axes
    for axes, names in ((loss, ["train_loss", "val_loss"]), (score, ["val_accuracy"])):
        assert [list(line.get_ydata()) for line in axes.get_lines()] == [
            [record[name] for record in records] for name in names
        ]


def test_its_settings_train_today(run, tmp_path):
    again = train_run(replace(run.spec, folder=str(tmp_path / "again")))
    assert len(again["runs"]) == 1
    assert run.config.epochs == 3
