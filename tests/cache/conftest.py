import sys
from pathlib import Path

import numpy as np
import pytest

from gradformer_dgl.preprocess import GraphStructures

# The module beside the tests is imported by name, which importlib mode does not provide for.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def structures():
    """Graphs of many sizes, some without nodes, many components."""
    rng = np.random.default_rng(11)
    graphs = []
    for _ in range(211):
        num_nodes = int(rng.choice([0, 1, 2, 7, 19, 31, 53, 71]))
        src, dst = rng.integers(0, max(num_nodes, 1), (2, 2 * num_nodes))
        graphs.append((src, dst, num_nodes))
    return GraphStructures.from_graphs(graphs)
