import pytest

from gradformer_dgl.cli import reproduce
from gradformer_dgl.experiments import paper
from gradformer_dgl.experiments.experiment import dataset_named, experiments_of
from gradformer_dgl.experiments.tables import PRESETS, TABLES, table_named
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import load_preset


def test_main_compares_models_with_the_preset():
    lines = experiments_of(TABLES["main"])
    assert [(line.dataset, line.model) for line in lines] == [
        (dataset, model)
        for dataset in ("NCI1", "PROTEINS", "MUTAG")
        for model in ("gradformer", "graphgps", "gin", "wl")
    ]
    for line in lines:
        preset = "wl" if line.model == "wl" else line.dataset.lower()
        assert line.variant == ("wl" if line.model == "wl" else "published")
        assert line.config == load_preset(preset).updated({"model": line.model})


def test_depth_and_share_reach_the_settings():
    depth = experiments_of(TABLES["depth"])
    assert {line.dataset for line in depth} == {"NCI1", "CLUSTER"}
    nci1 = [line for line in depth if (line.dataset, line.model) == ("NCI1", "graphgps")]
    assert [line.config.num_layers for line in nci1] == [4, 8, 12, 16, 24]
    shares = experiments_of(TABLES["low-resource"], models=["gradformer"])
    assert [line.config.train_fraction for line in shares] == [0.05, 0.1, 0.25]
    assert shares[0].variant == "published,train_fraction=0.05"
    assert [line.paper for line in shares] == [71.20, 76.38, None]


def test_ablation_takes_one_part_away_at_a_time():
    base = load_preset("nci1")
    changed = [
        {name: value for name, value in line.config.as_dict().items() if value != getattr(base, name)}
        for line in experiments_of(TABLES["ablation"])
    ]
    assert changed == [
        {},
        {"decay": "none"},
        {"learn_hop": False},
        {"message_passing": "none"},
        {"distance": "resistance"},
    ]


def test_the_numbers_of_the_paper_are_those_that_are_known():
    assert {name: set(numbers.values()) for name, numbers in vars(paper).items() if name.isupper()} == {
        "MAIN": {86.01, 84.21, 77.50, 88.00},
        "DEPTH": {84.31, 84.25},
        "LOW_RESOURCE": {71.20, 76.38, 69.54},
    }
    reported = {
        (table.name, line.dataset, line.model, line.setting): line.paper
        for table in TABLES.values()
        for line in experiments_of(table)
        if line.paper is not None
    }
    assert reported["main", "NCI1", "graphgps", "preset"] == 84.21
    assert reported["depth", "NCI1", "gradformer", "24 layers"] == 84.25
    assert reported["low-resource", "NCI1", "graphgps", "5% of the training graphs"] == 69.54
    # The efficiency table shows the accuracies of the main one.
    assert len(reported) == 4 + 2 + 3 + 2


def test_equal_experiments_of_different_tables_have_one_variant():
    full = experiments_of(TABLES["ablation"], ["NCI1"])[0]
    main = experiments_of(TABLES["main"], ["NCI1"], ["gradformer"])[0]
    gammas = experiments_of(TABLES["decay"], ["NCI1"])
    assert full.config == main.config == gammas[2].config
    assert full.variant == main.variant == gammas[2].variant == "published"
    assert len({line.variant for line in gammas}) == len({line.config for line in gammas}) == 8


def test_variants_tell_apart_what_is_not_the_same():
    lines = [
        *experiments_of(TABLES["ablation"], ["MUTAG"]),
        *experiments_of(TABLES["main"], ["MUTAG"], ["gradformer"], epochs=3),
        *experiments_of(TABLES["main"], ["MUTAG"], ["gradformer"], folds=10),
    ]
    assert [line.variant for line in lines] == [
        "published",
        "published,decay=none",
        "published,learn_hop=false",
        "published,message_passing=none",
        "published,distance=resistance",
        "published,epochs=3",
        "published,folds=10",
    ]


def test_fewer_epochs_have_a_shorter_warm_up():
    def warmup_of(dataset, epochs):
        (line,) = experiments_of(TABLES["main"], [dataset], ["gradformer"], epochs=epochs)
        return line.config.warmup_epochs

    assert warmup_of("ZINC", None) == 50
    assert warmup_of("ZINC", 40) == 1
    assert warmup_of("ZINC", 4000) == 50
    # A constant learning rate has none.
    assert warmup_of("MUTAG", 10) == warmup_of("MUTAG", None)


def test_tuned_settings_where_there_are_some():
    lines = experiments_of(TABLES["main"], ["NCI1", "COLLAB"], ["gradformer"], preset="tuned")
    assert [line.variant for line in lines] == ["tuned", "published"]
    assert [line.config for line in lines] == [load_preset("nci1-tuned"), load_preset("collab")]
    few = experiments_of(TABLES["low-resource"], ["NCI1", "PROTEINS"], ["gradformer"], preset="tuned")
    assert [line.config for line in few] == [
        load_preset(preset).updated({"train_fraction": share})
        for preset in ("nci1-few-tuned", "proteins-tuned")
        for share in (0.05, 0.1, 0.25)
    ]


def test_names():
    assert [dataset_named(name) for name in ("mutag", "Zinc", "imdb-binary", "Mine")] == [
        "MUTAG",
        "ZINC",
        "IMDB-BINARY",
        "Mine",
    ]
    with pytest.raises(ConfigError, match="is no name of a data set"):
        dataset_named("../NCI1")
    with pytest.raises(ConfigError, match="no table 'man': there are main, depth"):
        table_named("man")
    with pytest.raises(ConfigError, match=r"model is one of gradformer, .*, not 'gps'"):
        experiments_of(TABLES["main"], ["NCI1"], ["gps"])
    twice = experiments_of(TABLES["main"], ["nci1", "NCI1"], ["gin", "gin"])
    assert len(twice) == 1


def test_the_choices_of_the_command_are_those_of_the_package():
    assert tuple(TABLES) == reproduce.TABLES
    assert reproduce.PRESETS == PRESETS
