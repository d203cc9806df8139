import pytest

from gradformer_dgl.experiments.tune_space import (
    DEFAULT_SPACE,
    Range,
    check_space,
    contains,
    default_space,
    read_space,
)
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig, load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_the_default_space_suits_every_preset(name):
    config = load_preset(name)
    check_space(default_space(config), config)


def test_the_published_settings_lie_within_the_default_space():
    config = load_preset("nci1")
    assert all(contains(values, getattr(config, name)) for name, values in DEFAULT_SPACE.items())


def test_settings_without_effect_are_not_searched():
    assert default_space(RunConfig()) == DEFAULT_SPACE
    assert DEFAULT_SPACE.keys() - default_space(RunConfig(), "node").keys() == {"readout"}
    for model, missing in [
        ("graphgps", {"gamma", "hop"}),
        ("graphormer", {"gamma", "hop"}),
        ("gin", {"gamma", "hop", "attn_drop"}),
    ]:
        assert DEFAULT_SPACE.keys() - default_space(RunConfig(model=model)).keys() == missing
    config = RunConfig(model="wl")
    assert {"lr", "wl_rounds", "wl_dropout"} <= default_space(config).keys()
    assert not {"num_layers", "dropout", "gamma"} & default_space(config).keys()
    check_space(default_space(config), config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: [0.5]", "no setting is called 'gama': did you mean gamma"),
        ("gamma: 0.5", "gamma takes a list of choices, or a table such as"),
        ("gamma: []", "gamma takes a list of choices"),
        ("gamma: {low: 0.1}", "gamma takes a list of choices"),
        ("gamma: {low: 0.1, high: 0.5, base: 3}", "gamma takes a list of choices"),
        ("", "has no setting to search"),
        ("gamma: {low: 0.5, high: 0.1}", "the range of gamma ends at 0.1, before it begins at 0.5"),
        ("gamma: {low: 0.5, high: 1.5}", "gamma lies between 1e-06 and 1, not at 1.5"),
        ("gamma: {low: a, high: b}", "gamma has no range: give a list of choices"),
        ("readout: {low: 1, high: 2}", "readout has no range: give a list of choices"),
        ("readout: [sum, median]", "readout is one of sum, mean, max, not 'median'"),
        ("num_layers: {low: 1, high: 2.5}", "num_layers takes whole numbers, not 1 to 2.5"),
        ("lr: {low: 0, high: 1, log: true}", "the range of lr is logarithmic: it begins above 0"),
        ("lr: {low: 0.1, high: 1, step: -1}", "the step of lr is above 0, not -1"),
        ("feat_size: [16, 18]", "feat_size 18 is not a multiple of num_heads 4"),
        ("feat_size: {low: 16, high: 24}", "feat_size 17 is not a multiple of num_heads 4"),
        ("{val_fraction: [0.1, 0.5], test_fraction: [0.1, 0.6]}", "leave nothing to train on"),
        ("{feat_size: [6], num_heads: [2, 5]}", "feat_size 6 is not a multiple of num_heads 5"),
    ],
)
def test_spaces_that_make_no_sense(text, message, tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_space(read_space(file), RunConfig())


def test_a_space_of_ones_own(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("feat_size: {low: 6, high: 12, step: 6}\nnum_heads: [2, 3]\nlearn_hop: [true, false]\n")
    space = read_space(file)
    assert space == {
        "feat_size": Range(6, 12, step=6),
        "num_heads": (2, 3),
        "learn_hop": (True, False),
    }
    check_space(space, RunConfig())
    with pytest.raises(ConfigError, match=r"no file .*missing\.yaml"):
        read_space(tmp_path / "missing.yaml")
