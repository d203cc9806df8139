import csv
import re

import numpy as np
import pytest
from scipy import stats

from gradformer_dgl.experiments.comparison import compare
from gradformer_dgl.experiments.experiment import experiments_of
from gradformer_dgl.experiments.markdown import DASH
from gradformer_dgl.experiments.records import Record, load_record, save_record
from gradformer_dgl.experiments.reproduction import reproduce
from gradformer_dgl.experiments.table_files import write_table
from gradformer_dgl.experiments.tables import TABLES
from gradformer_dgl.support.errors import RunError


@pytest.fixture
def made_up(tmp_path):
    """Return a function that writes results with random scores, and returns the scores of each line."""

    def make(experiments, seeds=7, metric=("accuracy", "%", True), taus=False):
        generator = np.random.default_rng(3)
        scores = {}
        for number, experiment in enumerate(experiments):
            record = Record.empty(experiment)
            record.metric, record.unit, record.higher_is_better = metric
            for seed in range(seeds):
                for fold in [None] if experiment.folds is None else range(experiment.folds):
                    run = {"seed": seed, "fold": fold, "best_epoch": 3, "parameters": 1000 + number}
                    run |= {"test": generator.normal(80, 3), "val": generator.normal(82, 3), "seconds": 2.0}
                    run |= {"version": "1", "machine": {"cpu": "Abacus", "cores": 1, "torch": "2"}}
                    record.add(run | ({"tau": [4.5, 5.5]} if taus else {}))
            record.efficiency = {
                "seconds_per_epoch": 0.5,
                "peak_memory_bytes": 7e8,
                "memory_before_bytes": 5e8,
            }
            save_record(tmp_path, experiment, record)
            scores[experiment.dataset, experiment.model, experiment.setting] = np.array(record.scores)
        return scores

    return make


def rows_of(markdown, number=0):
    """Cells of the tables in a Markdown text, as dictionaries by heading."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", markdown, re.MULTILINE)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in blocks[number].splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_numbers_are_those_of_the_json_files(made_up, tmp_path):
    experiments = experiments_of(TABLES["main"])
    scores = made_up(experiments)
    file = write_table(TABLES["main"], experiments, tmp_path)
    markdown = rows_of(file.read_text())
    with file.with_suffix(".csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert len(markdown) == len(table) == 12
    for shown, row, experiment in zip(markdown, table, experiments, strict=True):
        found = scores[experiment.dataset, experiment.model, "preset"]
        mean, std = np.mean(found), np.std(found, ddof=1)
        assert (row["dataset"], row["model"]) == (experiment.dataset, experiment.model)
        assert float(row["mean"]) == pytest.approx(mean, rel=1e-12)
        assert float(row["std"]) == pytest.approx(std, rel=1e-12)
        assert (row["seeds"], row["epochs"]) == ("7", "30" if experiment.model == "wl" else "100")
        assert shown["ours"] == f"{mean:.2f} ± {std:.2f}"
        assert row["paper"] == ("" if experiment.paper is None else str(experiment.paper))
        assert shown["paper"] == (DASH if experiment.paper is None else f"{experiment.paper:.2f}")
    assert markdown[0]["paper"] == "86.01"
    assert "Abacus (cores: 1, torch 2)" in file.read_text()


@pytest.mark.parametrize(("timed", "shown"), [(3, "20"), (0, DASH)])
def test_only_trainings_that_were_not_halted_are_timed(made_up, tmp_path, timed, shown):
    experiments = experiments_of(TABLES["main"], ["NCI1"], ["gin"])
    made_up(experiments)
    record = load_record(tmp_path, experiments[0])
    for number, run in enumerate(record.runs):
        run["seconds"] = 10.0 * (number + 1) if number < timed else None
    save_record(tmp_path, experiments[0], record)
    file = write_table(TABLES["main"], experiments, tmp_path)
    assert rows_of(file.read_text())[0]["seconds"] == shown


def test_the_paired_comparison(made_up, tmp_path):
    experiments = experiments_of(TABLES["main"], ["NCI1"])
    scores = made_up(experiments)
    pairs = rows_of(write_table(TABLES["main"], experiments, tmp_path).read_text(), 1)
    ours = scores["NCI1", "gradformer", "preset"]
    others = ("graphgps", "gin", "wl")
    assert [row["models"] for row in pairs] == [f"gradformer against {model}" for model in others]
    for row, model in zip(pairs, others, strict=True):
        difference = ours - scores["NCI1", model, "preset"]
        assert row["difference"] == f"{difference.mean():+.2f}"
        assert row["standard error"] == f"{stats.sem(difference):.2f}"
        assert (row["pairs"], row["wins"], row["ties"]) == ("7", str((difference > 0).sum()), "0")


def test_models_are_compared_at_each_setting(made_up, tmp_path):
    experiments = experiments_of(TABLES["low-resource"], ["NCI1"], ["gradformer", "graphgps"])
    scores = made_up(experiments)
    pairs = rows_of(write_table(TABLES["low-resource"], experiments, tmp_path).read_text(), 1)
    assert len(pairs) == 3
    for row in pairs:
        difference = scores["NCI1", "gradformer", row["setting"]] - scores["NCI1", "graphgps", row["setting"]]
        assert row["models"] == "gradformer against graphgps"
        assert row["difference"] == f"{difference.mean():+.2f}"


def test_an_ablation_is_compared_with_the_full_model(made_up, tmp_path):
    experiments = experiments_of(TABLES["ablation"], ["NCI1"])
    scores = made_up(experiments)
    pairs = rows_of(write_table(TABLES["ablation"], experiments, tmp_path).read_text(), 1)
    assert len(pairs) == len(experiments) - 1
    for row, experiment in zip(pairs, experiments[1:], strict=True):
        full, other = (scores["NCI1", "gradformer", name] for name in ("full", experiment.setting))
        assert (row["model"], row["settings"]) == ("gradformer", f"full against {experiment.setting}")
        assert row["difference"] == f"{(full - other).mean():+.2f}"


def test_pairs_are_the_splits_that_both_have():
    first, other = (Record("ZINC", model, "published", {}, None) for model in ("gradformer", "gin"))
    first.higher_is_better = other.higher_is_better = False
    for seed, score in [(0, 0.1), (1, 0.3), (4, 0.2)]:
        first.add({"seed": seed, "fold": None, "test": score})
    for seed, score in [(4, 0.5), (2, 0.0), (1, 0.2)]:
        other.add({"seed": seed, "fold": None, "test": score})
    result = compare(first, other)
    assert (result.pairs, result.wins, result.ties) == (2, 1, 0)
    assert result.difference == pytest.approx(-0.1)
    assert result.standard_error == pytest.approx(stats.sem([0.1, -0.3]))
    assert compare(first, Record("ZINC", "gin", "published", {}, None)) is None


def test_settings_without_results_have_dashes(made_up, tmp_path):
    experiments = experiments_of(TABLES["depth"], ["NCI1"])
    made_up(experiments[:3], seeds=1)
    rows = rows_of(write_table(TABLES["depth"], experiments, tmp_path).read_text())
    assert [row["seeds"] for row in rows] == ["1"] * 3 + ["0"] * 2
    assert "±" not in rows[0]["ours"]
    assert [row["ours"] for row in rows[3:]] == [DASH] * 2
    assert [row["paper"] for row in rows] == [DASH, DASH, "84.31", DASH, "84.25"]


def test_what_was_never_trained_has_no_lines(made_up, tmp_path):
    made_up(experiments_of(TABLES["main"], ["MUTAG"], ["gradformer", "graphgps"], folds=10), seeds=1)
    asked = experiments_of(TABLES["main"], ["MUTAG", "NCI1"], folds=10)
    file = write_table(TABLES["main"], asked, tmp_path)
    rows = rows_of(file.read_text())
    assert [(row["data"], row["model"]) for row in rows] == [("MUTAG", "gradformer"), ("MUTAG", "graphgps")]
    with file.with_suffix(".csv").open() as stream:
        assert [row["model"] for row in csv.DictReader(stream)] == ["gradformer", "graphgps"]
    # Nor does a shorter training bring in the whole one.
    made_up(experiments_of(TABLES["depth"], ["CLUSTER"], ["gradformer"], epochs=3)[:2], seeds=1)
    both = [
        line for epochs in (3, None) for line in experiments_of(TABLES["depth"], ["CLUSTER"], epochs=epochs)
    ]
    rows = rows_of(write_table(TABLES["depth"], both, tmp_path).read_text())
    assert [(row["model"], row["epochs"]) for row in rows] == [("gradformer", "3 of 100")] * 5


def test_the_command_leaves_out_what_was_never_trained(made_up, tmp_path, command):
    made_up(experiments_of(TABLES["main"], ["MUTAG"], ["gin"], folds=10), seeds=1)
    done = command("reproduce", "--datasets", "MUTAG", "--folds", "10", "--render-only", "--out", tmp_path)
    assert done.status == 0
    assert [row["model"] for row in rows_of((tmp_path / "main-10-folds.md").read_text())] == ["gin"]


def test_parameters_that_differ_are_explained(made_up, tmp_path):
    (experiment,) = experiments_of(TABLES["main"], ["NCI1"], ["gin"])
    made_up([experiment])
    assert "Parameters are" not in write_table(TABLES["main"], [experiment], tmp_path).read_text()
    record = load_record(tmp_path, experiment)
    record.runs[3]["parameters"] += 2
    save_record(tmp_path, experiment, record)
    text = write_table(TABLES["main"], [experiment], tmp_path).read_text()
    assert rows_of(text)[0]["parameters"] == "1,000"
    assert "Parameters are those of the first training where they differ" in text


def test_a_preset_of_the_tables_own_is_named(made_up, tmp_path):
    asked = experiments_of(TABLES["low-resource"], ["NCI1"], ["gradformer"], preset="tuned")
    made_up(asked, seeds=1)
    text = write_table(TABLES["low-resource"], asked, tmp_path).read_text()
    assert "Settings: the presets (nci1-few-tuned) but" in text


def test_folds_are_counted(made_up, tmp_path):
    experiments = experiments_of(TABLES["main"], ["MUTAG"], ["gradformer", "gin"], folds=10)
    scores = made_up(experiments, seeds=2)
    file = write_table(TABLES["main"], experiments, tmp_path)
    text = file.read_text()
    row = rows_of(text)[0]
    found = scores["MUTAG", "gradformer", "preset"]
    assert file.name == "main-10-folds.md"
    assert text.startswith("# Main results in 10 folds\n")
    assert (len(found), row["seeds x folds"]) == (20, "2 x 10")
    assert row["ours"] == f"{found.mean():.2f} ± {found.std(ddof=1):.2f}"
    assert rows_of(text, 1)[0]["pairs"] == "20"
    assert "10 stratified folds" in text


def test_the_main_table_keeps_what_other_commands_trained(made_up, tmp_path):
    def lines(name, models, **options):
        return experiments_of(TABLES["main"], [name], models, **options)

    both = ["gradformer", "gin"]
    made_up([*lines("ZINC", both, epochs=60), *lines("SHAPES", ["gcn"]), *lines("NCI1", both)], seeds=3)
    made_up([*lines("NCI1", both, preset="tuned"), *lines("NCI1", both, epochs=30)], seeds=2)
    # Neither a line of the main table without folds.
    made_up([*lines("NCI1", both, folds=3), *experiments_of(TABLES["depth"], ["NCI1"], both)])
    text = write_table(TABLES["main"], lines("MUTAG", ["gin"]), tmp_path).read_text()
    rows = rows_of(text)
    assert [(row["data"], row["model"], row["setting"], row["epochs"], row["seeds"]) for row in rows] == [
        ("NCI1", "gradformer", "published", "100", "3"),
        ("NCI1", "gin", "published", "100", "3"),
        ("NCI1", "gradformer", "published", "30 of 100", "2"),
        ("NCI1", "gin", "published", "30 of 100", "2"),
        ("NCI1", "gradformer", "tuned", "60", "2"),
        ("NCI1", "gin", "tuned", "60", "2"),
        ("ZINC", "gradformer", "published", "60 of 2000", "3"),
        ("ZINC", "gin", "published", "60 of 2000", "3"),
        ("SHAPES", "gcn", "published", "100", "3"),
    ]
    assert "ZINC: validation and test are the published molecules" in text
    assert "CLUSTER: graphs are generated" not in text
    assert text.count("was shortened from the preset's 100 epochs to 30") == 1
    pairs = [(row["data"], row["setting"], row["models"], row["pairs"]) for row in rows_of(text, 1)]
    assert pairs == [
        ("NCI1", "published", "gradformer against gin", "3"),
        ("NCI1", "published, 30 epochs", "gradformer against gin", "2"),
        ("NCI1", "tuned", "gradformer against gin", "2"),
        ("ZINC", "published, 60 epochs", "gradformer against gin", "3"),
    ]
    with (tmp_path / "main.csv").open() as stream:
        facts = [(row["epochs"], row["preset_epochs"]) for row in csv.DictReader(stream)]
    assert facts[2] == ("30", "100")
    assert facts[4] == ("60", "60")


def test_a_result_that_cannot_be_read_is_named(made_up, tmp_path):
    made_up(experiments_of(TABLES["main"], ["NCI1"], ["gin"]))
    broken = tmp_path / "runs" / "MUTAG" / "published" / "gin.json"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"config": {}}')
    with pytest.raises(RunError, match=r"gin\.json cannot be read as results \('epochs'\)"):
        write_table(TABLES["main"], experiments_of(TABLES["main"], ["NCI1"], ["gin"]), tmp_path)


def test_other_tables_show_what_is_asked(made_up, tmp_path):
    asked = experiments_of(TABLES["ablation"], ["NCI1"], epochs=5)
    made_up([*asked, *experiments_of(TABLES["ablation"], ["MUTAG"])])
    rows = rows_of(write_table(TABLES["ablation"], asked, tmp_path).read_text())
    assert [(row["data"], row["epochs"]) for row in rows] == [("NCI1", "5 of 100")] * 5


def test_the_presets_of_an_ablation_are_named(made_up, tmp_path):
    asked = experiments_of(TABLES["ablation"], ["PROTEINS", "ZINC"], preset="tuned")
    made_up(asked, seeds=1)
    assert (
        "presets (PROTEINS tuned, ZINC published) but"
        in write_table(TABLES["ablation"], asked, tmp_path).read_text()
    )


def test_presets_that_pass_over_early_epochs_are_named(made_up, tmp_path):
    table = TABLES["main"]
    asked = experiments_of(table, ["NCI1", "MUTAG"], ["gin"], preset="tuned")
    made_up([*asked, *experiments_of(table, ["MUTAG"], ["gin"])])
    text = write_table(table, asked, tmp_path).read_text()
    assert "is looked for after the first part of the epochs: MUTAG tuned (50 %).\n" in text
    published = experiments_of(TABLES["ablation"], ["MUTAG"])
    made_up(published)
    assert "is looked for" not in write_table(TABLES["ablation"], published, tmp_path).read_text()


@pytest.mark.parametrize("name", ["depth", "low-resource", "efficiency", "decay"])
def test_tables_with_a_figure(name, made_up, tmp_path):
    table = TABLES[name]
    experiments = experiments_of(table)
    made_up(experiments, taus=True)
    text = write_table(table, experiments, tmp_path).read_text()
    assert f"({name}.png)" in text
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(rows_of(text)) == len(experiments)
    if name == "efficiency":
        assert rows_of(text)[0]["peak memory, MB"] == "700 (+200)"


@pytest.mark.parametrize("name", ["main", "ablation"])
def test_tables_without_a_figure(name, made_up, tmp_path):
    made_up(experiments_of(TABLES[name]))
    assert "png" not in write_table(TABLES[name], experiments_of(TABLES[name]), tmp_path).read_text()


def test_errors_have_the_decimals_of_their_unit(made_up, tmp_path):
    experiments = experiments_of(TABLES["main"], ["ZINC"], ["gradformer"])
    scores = made_up(experiments, metric=("mae", "", False))
    row = rows_of(write_table(TABLES["main"], experiments, tmp_path).read_text())[0]
    assert row["metric"] == "mae"
    assert row["ours"].startswith(f"{scores['ZINC', 'gradformer', 'preset'].mean():.4f} ± ")


def test_nothing_to_show(tmp_path):
    with pytest.raises(RunError, match="holds no results of this table: run the same command without"):
        write_table(TABLES["main"], experiments_of(TABLES["main"]), tmp_path)


def test_a_table_of_real_trainings(shapes_experiments, place):
    experiments = shapes_experiments("low-resource", epochs=1)
    reproduce(experiments, place, range(2))
    rows = rows_of(write_table(TABLES["low-resource"], experiments, place.out).read_text())
    assert [row["setting"] for row in rows] == 2 * [
        f"{share}% of the training graphs" for share in (5, 10, 25)
    ]
    assert {row["metric"] for row in rows} == {"accuracy, %"}
