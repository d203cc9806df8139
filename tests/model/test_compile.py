"""A model under torch.compile, whose graphs break at the attention, gives what it gives without."""

import copy
import subprocess
import sys

import torch
from batches import random_distances, random_graph
from torch.testing import assert_close

from gradformer_dgl import Gradformer, GraphBatch


def batch_of(sizes):
    torch.manual_seed(len(sizes))
    return GraphBatch(random_graph(sizes), random_distances(sizes), node_features=torch.rand(sum(sizes), 5))


def compare():
    torch.manual_seed(0)
    plain = Gradformer(out_size=2, feat_size=16, num_layers=1, num_heads=2, node_size=5)
    compiled = copy.deepcopy(plain)
    compiled.compile(dynamic=True, backend="aot_eager")
    for sizes in ([4, 9], [7, 5, 12]):
        outputs = [model(batch_of(sizes)) for model in (plain, compiled)]
        assert_close(outputs[1], outputs[0])
        for out in outputs:
            out.square().sum().backward()
    for one, other in zip(compiled.parameters(), plain.parameters(), strict=True):
        assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    print("equal")


def test_values_and_gradients_of_batches_of_several_sizes():
    # In a process whose functions do not check the shapes of their arguments: that cannot be traced.
    found = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=300)
    assert found.stdout == "equal\n", found.stderr


if __name__ == "__main__":
    compare()
