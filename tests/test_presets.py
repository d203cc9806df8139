"""The presets that are the settings of the paper's TU experiments stay the same, and are described."""

import re

import pytest

import gradformer_dgl.presets
from gradformer_dgl.training.config import load_preset, preset_names

OF_THE_TU_EXPERIMENTS = ("default", "nci1", "mutag", "proteins", "imdb-binary", "collab")


@pytest.mark.parametrize("name", OF_THE_TU_EXPERIMENTS[1:])
def test_the_tu_experiments_have_one_set_of_settings(name):
    assert load_preset(name) == load_preset("default")


def test_no_other_preset_has_them():
    same = {name for name in preset_names() if load_preset(name) == load_preset("default")}
    assert same == set(OF_THE_TU_EXPERIMENTS)


def test_the_docstring_names_those_that_are_no_data_sets():
    named = set(re.findall(r"``([a-z0-9-]+)``", gradformer_dgl.presets.__doc__ or ""))
    assert named == {"default", "molecules", "nodes", "nci-tpsa", "nci1-few-tuned"}
    assert named <= set(preset_names())
