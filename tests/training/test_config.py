import pickle

import pytest
import yaml

from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import (
    RunConfig,
    load_preset,
    preset_for,
    preset_names,
    read_settings,
    renamed,
)


def test_every_preset_loads():
    assert {"default", "nci1", "proteins", "mutag", "zinc", "nci-tpsa"} <= set(preset_names())
    for name in preset_names():
        assert load_preset(name).epochs > 0


def test_a_data_set_without_preset_gets_the_default():
    assert preset_for("NCI1") == "nci1"
    assert preset_for("DD") == "default"


def test_settings_survive_a_file(tmp_path):
    config = load_preset("zinc").updated({"gamma": 0.25, "epochs": 7})
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config.as_dict()))
    assert RunConfig().updated(read_settings(tmp_path / "a.yaml")) == config


def test_whole_numbers_serve_as_numbers():
    assert RunConfig(lr=1).lr == 1.0
    assert type(RunConfig(lr=1).lr) is float


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "no setting is called 'epoch': did you mean epochs"),
        ({"zzzz": 3}, "no setting is called 'zzzz': there are epochs, batch_size"),
        ({"epochs": "many"}, "epochs takes a whole number, not 'many'"),
        ({"epochs": True}, "epochs takes a whole number, not True"),
        ({"epochs": 0}, "epochs lies between 1 and"),
        ({"gamma": 1.5}, "gamma lies between"),
        ({"gamma": float("nan")}, "gamma lies between"),
        ({"optimizer": "sgd"}, "optimizer is one of adam, adamw, not 'sgd'"),
        ({"feat_size": 30, "num_heads": 4}, "feat_size 30 is not a multiple of num_heads 4"),
        ({"clip_norm": 1.0}, "no setting is called 'clip_norm': it is gradient_clipping now"),
        ({"wl_apart": True}, "no setting is called 'wl_apart': train `--model wl` and the network apart"),
        ({"message_passing": "nine"}, "message_passing is one of gin, .*, not 'nine'; did you mean"),
        ({"decay": "no_such_module:Decay"}, "there is no module 'no_such_module'"),
        ({"strength": 2.0}, "no setting is called 'strength'"),
        ({"train_fraction": 0.0}, "train_fraction lies between 1e-06 and 1"),
        ({"train_fraction": 1.1}, "train_fraction lies between"),
        (
            {"model": "gps"},
            "model is one of gradformer, graphgps, graphormer, transformer, gin, gcn, gatedgcn, wl",
        ),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "leave nothing to train on"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig().updated(settings)


def test_files_that_hold_no_settings(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "empty.yaml").write_text("")
    assert read_settings(tmp_path / "empty.yaml") == {}
    for name, message in [
        ("list.yaml", "not a table of settings"),
        ("broken.yaml", "cannot be read as YAML"),
        ("absent.yaml", "no file"),
    ]:
        with pytest.raises(ConfigError, match=message) as caught:
            read_settings(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_unknown_preset():
    with pytest.raises(ConfigError, match=r"no preset 'nope': there are cluster, .*default"):
        load_preset("nope")


def test_settings_of_the_first_version_have_new_names():
    assert renamed({"average": 0.5, "select_by": "loss", "wl_rounds": 0, "wl_use": "head"}) == {
        "ema_decay": 0.5,
        "monitor": "loss",
    }
    with pytest.raises(ConfigError, match=r"network \(wl_rounds: 5\), which only version 0.1.0"):
        renamed({"wl_rounds": 5, "wl_use": "head"})


def test_settings_do_not_change_and_travel():
    config = RunConfig(epochs=3, gamma=0.25)
    with pytest.raises(AttributeError):
        config.epochs = 4
    assert pickle.loads(pickle.dumps(config)) == config
    assert (config.changed(), hash(config)) == ({"epochs": 3, "gamma": 0.25}, hash(RunConfig(**config)))
    assert config != RunConfig(epochs=3)
    with pytest.raises(AttributeError, match="no setting is called 'epoch'"):
        _ = config.epoch
