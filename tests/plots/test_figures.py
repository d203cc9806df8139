"""Curves, decay and distances: what is drawn beside the numbers it is drawn from."""

import json
import math
from pathlib import Path

import matplotlib
import networkx as nx
import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.plots import style
from gradformer_dgl.plots.confusion import confusion_counts, draw_confusion
from gradformer_dgl.plots.curves import curves_figure
from gradformer_dgl.plots.decay import decay_curves, decay_figure, learned_tau
from gradformer_dgl.plots.distances import distances_figure
from gradformer_dgl.plots.style import panels, styled, write_picture
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.seed_files import read_records


def epochs_of(seed: int, number: int = 5, **more) -> list[dict]:
    generator = np.random.default_rng(seed)
    names = ("lr", "train_loss", "val_loss", "val_mae")
    return [
        {"epoch": epoch, **{name: float(generator.random()) for name in names}, **more}
        for epoch in range(1, number + 1)
    ]


def lines(axes) -> list[tuple[list, list, str, str]]:
    return [
        (list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle(), line.get_marker())
        for line in axes.get_lines()
    ]


def test_curves_are_the_records_and_the_best_epoch_is_marked():
    records = {3: epochs_of(3), 8: epochs_of(8, number=4)}
    figure = curves_figure(records, {3: 2, 8: 4}, "km")
    loss, score, rate, legend = figure.axes
    for axes, names in [(loss, ("train_loss", "val_loss")), (score, ("val_mae",))]:
        found, place = lines(axes), 0
        for seed, best in ((3, 2), (8, 4)):
            styles = set()
            for name in names:
                x, y, style, _ = found[place]
                assert x == [record["epoch"] for record in records[seed]]
                assert y == [record[name] for record in records[seed]]
                styles.add(style)
                place += 1
            assert len(styles) == len(names)
            x, y, _, mark = found[place]
            assert (x[0], y[0]) == (best, records[seed][best - 1][names[-1]])
            assert mark not in ("None", "")
            place += 1
        assert len({mark for *_, mark in found} - {"None"}) == 2
    assert [y for _, y, _, _ in lines(rate)] == [[one["lr"] for one in epochs] for epochs in records.values()]
    assert score.get_ylabel() == "mae, km"
    names = [text.get_text() for text in legend.get_legend().get_texts()]
    assert names == ["training", "validation", "seed 3, best epoch 2", "seed 8, best epoch 4"]


def test_the_score_of_the_training_data_where_it_is_recorded():
    epochs = epochs_of(0)
    for record in epochs:
        record["train_mae"] = record["val_mae"] / 2
    score = curves_figure({0: epochs}).axes[1]
    assert [y for _, y, _, _ in lines(score)] == [
        [record[name] for record in epochs] for name in ("train_mae", "val_mae")
    ]


def test_a_run_that_began_before_the_score_of_the_training_data_was_recorded():
    epochs = epochs_of(0, number=4)
    epochs[2]["train_mae"], epochs[3]["train_mae"] = 0.25, 0.5
    figure = curves_figure({0: epochs})
    figure.canvas.draw()
    (x, drawn, _, _), _ = lines(figure.axes[1])
    assert x == [1, 2, 3, 4]
    np.testing.assert_array_equal(drawn, [math.nan, math.nan, 0.25, 0.5])


def test_one_epoch_not_finite_losses_and_many_seeds():
    alone = epochs_of(0, number=1)
    assert lines(curves_figure({0: alone}).axes[0])[0][3] == "."
    broken = epochs_of(0)
    broken[2]["val_loss"] = math.nan
    curves_figure({0: broken}).canvas.draw()
    wide = epochs_of(0)
    wide[0]["train_loss"] = 1e4
    assert curves_figure({0: wide}).axes[0].get_yscale() == "log"
    many = curves_figure({seed: epochs_of(seed) for seed in range(23)})
    many.canvas.draw()
    assert many.axes[3].get_legend().get_texts()[-1].get_text() == "and 3 more"


@pytest.mark.parametrize(("slope", "unit"), [(0.0, 1.0), (0.3, 1.0), (0.0, 0.25)])
def test_decay_at_the_start_and_the_end(slope, unit):
    config = RunConfig(
        gamma=0.7, hop=2.5, slope=slope, distance="shortest_path" if unit == 1 else "resistance"
    )
    learned = {4: [0.5, 3.25], 6: [7.0, 2.0]}
    figure = decay_figure(config, learned)
    distances = unit * np.arange(17)
    for axes, (seed, taus) in zip(figure.axes, learned.items(), strict=True):
        assert axes.get_title() == f"Seed {seed}"
        drawn = axes.get_lines()
        for line, tau in zip(drawn, [2.5, *taus], strict=True):
            beyond = np.where(distances > tau, distances - tau, slope * (distances - tau))
            assert np.allclose(line.get_xdata(), distances)
            assert np.allclose(line.get_ydata(), 0.7**beyond, rtol=1e-5)
        styles = {(line.get_linestyle(), line.get_marker(), line.get_dash_capstyle()) for line in drawn[1:]}
        assert len({style[1] for style in styles}) == len(taus)
        assert axes.get_legend().get_texts()[0].get_text() == "start, τ = 2.50"


def test_the_first_of_many_seeds_have_a_panel():
    figure = decay_figure(RunConfig(), {seed: [1.0] for seed in range(9)})
    assert [axes.get_title() for axes in figure.axes][-1] == "Seed 5 (one of 9)"
    assert len(figure.axes) == 6


def test_thresholds_at_the_end_of_training():
    records = {0: epochs_of(0, tau=[1.0]), 1: epochs_of(1)}
    records[0][-1]["tau"] = [3.0]
    assert learned_tau(records) == {0: [3.0]}
    with pytest.raises(RunError, match="the model gin has no decay that is learned"):
        learned_tau({1: epochs_of(1)}, "gin")


def test_distances_are_counted_over_all_graphs(tmp_path):
    graphs = [nx.path_graph(7), nx.star_graph(4), nx.disjoint_union(nx.cycle_graph(5), nx.path_graph(2))]
    ends = [(*map(list, zip(*graph.edges, strict=True)), graph.number_of_nodes()) for graph in graphs]
    preprocess_graphs(ends, tmp_path / "three.h5", n_jobs=1)
    counts, pairs = np.zeros(7), sum(graph.number_of_nodes() ** 2 for graph in graphs)
    for graph in graphs:
        for _, lengths in nx.all_pairs_shortest_path_length(graph):
            for length in lengths.values():
                counts[length] += 1
    (axes,) = distances_figure(DistanceCache(tmp_path / "three.h5"), {0: [1.5, 2.5]}).axes
    assert np.allclose([bar.get_height() for bar in axes.patches], 100 * counts / pairs)
    assert (
        axes.get_title()
        == f"Pairs of nodes in 3 graphs; {100 - 100 * counts.sum() / pairs:.2g} % have no path"
    )
    assert list(axes.get_lines()[0].get_xdata()) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty: no epoch is done"),
        ('{"epoch": 1}\n', "is broken: a line is no record of an epoch"),
        ('{"epoch": 1, "lr"', "is broken: "),
        ("[1]\n", "is broken: a line is no record of an epoch"),
        (None, "cannot be read: No such file"),
    ],
)
def test_metrics_that_are_none(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(RunError, match=reason) as caught:
        read_records(tmp_path)
    assert "\n" not in str(caught.value)


def test_tensorboard_has_the_curves_of_the_metrics(trained):
    request = trained("nodes")
    for seed in request.seeds:
        folder = request.seed_folder(seed)
        records = [json.loads(line) for line in Path(folder / "metrics.jsonl").read_text().splitlines()]
        events = EventAccumulator(str(folder)).Reload()
        expected = {}
        for name, value in records[0].items():
            if isinstance(value, list):
                for place in range(len(value)):
                    expected[f"{name}/{place}"] = [record[name][place] for record in records]
            elif name != "epoch":
                expected[name.replace("_", "/", 1)] = [record[name] for record in records]
        assert set(events.Tags()["scalars"]) == set(expected)
        assert {"lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy", "tau/0", "tau/2"} <= set(
            expected
        )
        for tag, values in expected.items():
            found = events.Scalars(tag)
            assert [event.step for event in found] == [record["epoch"] for record in records]
            assert [event.value for event in found] == pytest.approx(values, rel=1e-6)


def test_names_in_any_script_are_one_line_at_most(caplog, tmp_path):
    """Without a font of the script Matplotlib warns of each character; dollars are no formula."""
    counts = confusion_counts(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    figure = Figure()
    with styled():
        draw_confusion(figure.subplots(), counts, ["\U000f0000\U000f0001", r"$\nothing$"], "$5")
    style._say_missing_characters.cache_clear()
    for kind in ("png", "svg"):
        write_picture(figure, tmp_path / f"a.{kind}")
    (line,) = caplog.messages
    assert "no font here has" in line
    assert figure.axes[0].get_title() == "$5"


def test_fonts_that_are_not_there_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(style, "_MORE_FONTS", ("No Such Font", "STIXGeneral"))
    with styled():
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "STIXGeneral"]


def test_a_decay_falls_from_its_threshold_on():
    curves = decay_curves(RunConfig(gamma=0.5), [0.0, 1.0], 3)
    assert curves.tolist() == [[1.0, 0.5, 0.25], [1.0, 1.0, 0.5]]


def test_panels_of_an_unfinished_row_are_left_out():
    figure, axes = panels(4, columns=3, panel_height=2.0)
    assert len(axes) == len(figure.axes) == 4
    assert figure.get_size_inches().tolist() == [style.WIDTH, 4.0]
