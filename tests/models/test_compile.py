import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradformer_dgl import PairDistances
from gradformer_dgl.kernels.attention import attention_op


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("equal", id="a layer is one graph, for batches of other sizes too"),
        pytest.param("plans", id="all passes share the plan of a batch"),
        pytest.param("sparse", id="sparse pairs are compiled around once"),
        pytest.param("dropout", id="dropout is drawn anew and keeps the expectation"),
    ],
)
def test_layers_compile(scenario):
    if scenario == "plans" and torch.__version__.startswith("2.4."):
        pytest.skip("torch 2.4 hands an operator copies of the tensors: the plan is made anew, and the same")
    script = Path(__file__).with_name("compile_scenarios.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, str(script), scenario], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_the_operator_passes_the_checks_of_torch():
    distances = PairDistances(torch.randint(0, 4, (13,)).to(torch.uint8), torch.tensor([3, 2]))
    qkv, table = torch.randn(5, 3, 2, 4, requires_grad=True), torch.rand(2, 256, requires_grad=True)
    tensors = (qkv, table, distances.values, distances.node_counts, torch.tensor(1))
    torch.library.opcheck(attention_op._attention, (*tensors, 0.3, "ragged", ""))


def test_distances_are_made_anew_where_they_are_gone():
    values, counts = torch.tensor([0, 1, 1, 0, 0], dtype=torch.uint8), torch.tensor([2, 1])
    found = PairDistances.of(values, counts)
    assert found.sizes == [2, 1]
    assert PairDistances.of(values, counts) is found
    assert PairDistances.of(values.clone(), counts) is not found
