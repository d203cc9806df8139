import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed_by(name, *options):
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def number_after(text, words):
    return float(re.findall(rf"{re.escape(words)} ([\d.]+)", text)[-1])


@pytest.mark.parametrize("name", ["layer_in_own_model", "graphormer_from_cache"])
def test_families_of_graphs_are_told_apart(name):
    assert number_after(printed_by(name), "test accuracy") > 0.8


@pytest.mark.parametrize("name", ["decay_in_dgl_graphormer", "own_decay"])
def test_neighbourhoods_are_learned(name):
    assert number_after(printed_by(name), "unexplained fraction of the variance") < 0.8


def test_a_compiled_layer_gives_what_it_gives_uncompiled():
    differences = re.findall(r"difference is (\S+)", printed_by("compiled_layer"))
    assert len(differences) == 3
    assert max(map(float, differences)) < 1e-4


def test_nodes_are_classified_better_than_by_their_own_features():
    printed = printed_by("node_classification", "--nodes", "1500", "--epochs", "15")
    assert number_after(printed, "test accuracy") > number_after(printed, "own hint:") + 0.1


def test_loaders_give_the_same_batches():
    sums = re.findall(r"outputs \(64, 2\), sum (\S+)", printed_by("own_dataset"))
    assert len(sums) == 3
    assert len(set(sums)) == 1


def test_weighted_ways_are_the_shortest():
    printed = printed_by("weighted_and_heterogeneous_graphs")
    assert "first town 0.0, 0.5, 0.8, 1.9, 2.1; in steps [0, 2, 3, 8, 8]" in printed
    assert "heterogeneous: 2 types of nodes, (7, 16) channels" in printed


def test_every_example_is_run_here():
    tested = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'"{path.stem}"' not in tested] == []
