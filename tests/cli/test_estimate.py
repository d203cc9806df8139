"""Messages about long work before it begins."""

import logging

import networkx as nx
import numpy as np

from gradformer_dgl.cache.writer import CachePlan, CacheSizes
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess import estimate
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.preprocess.tasks import cut_tasks


def test_the_time_of_a_part_tells_that_of_all(monkeypatch, caplog):
    plan = CachePlan(np.dtype(np.uint8), encodings={"rwse:3": 3})
    graphs = GraphStructures.from_graphs([nx.path_graph(10)] * 10)
    (task,) = cut_tasks([graphs], plan, parse_encodings(["rwse:3"]))
    assert task.sizes.pairs == 1000
    times = iter([50.0, 50.5])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(estimate, "logger", logging.getLogger("of_this_test"))
    with caplog.at_level(logging.INFO):
        estimate.tell_how_long("x.h5", task, CacheSizes(99 * 10, 99 * 100, 99 * 1000), workers=2)
        assert not caplog.records
        estimate.tell_how_long("x.h5", task, CacheSizes(10**6, 10**7, 10**8), workers=2)
    # A hundred thousand parts of half a second each; a byte for each pair, 12 for each node.
    assert [record.getMessage() for record in caplog.records] == [
        "x.h5: 1,000,000 graphs, 10,000,000 nodes, 100,000,000 pairs; "
        "about 220 MB before compression, and 6.9 h"
    ]
