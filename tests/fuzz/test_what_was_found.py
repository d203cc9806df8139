"""Inputs that once ended in something else than one clear line."""

import dgl
import h5py
import networkx as nx
import numpy as np
import pytest
import yaml
from settings_files import BOMB

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.prediction.dgl_files import read_dgl_graphs
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import CacheError, ConfigError, DataError, RunError
from gradformer_dgl.training.config import RunConfig, read_settings
from gradformer_dgl.training.trained_run import open_run

FACTS = {
    "name": "two",
    "task": "binary",
    "level": "graph",
    "out_size": 1,
    "node_encoder": "ogb",
    "node_size": [119, 5],
    "node_kind": "category",
    "directed": False,
    "source": {"molecules": "ogb"},
}
RUN = {"dataset": "X", "data_root": None, "cache": "X.h5", "seeds": [0], "config": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: " + "[" * 3000, "is nested too deeply"),
        ("epochs: " + "9" * 5000, "cannot be read as YAML: Exceeds the limit"),
        ("lr: 2020-13-45", "cannot be read as YAML: month must be in 1..12"),
        (BOMB.replace("i: &i", "epochs: &i"), "no setting is called 'a'"),
    ],
)
def test_yaml_that_cannot_be(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        RunConfig().updated(read_settings(tmp_path / "mine.yaml"))


def test_a_value_of_gigabytes_is_shown_in_short():
    bomb = ["x"] * 9
    for _ in range(8):
        bomb = [bomb] * 9
    with pytest.raises(ConfigError, match=r"epochs takes a whole number, not \[") as caught:
        RunConfig().updated({"epochs": bomb})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("node_size", [119, "word"]),
        ("node_size", [119, {"a": 1}]),
        ("node_size", []),
        ("node_size", 0),
        ("node_kind", "number"),
        ("node_encoder", {}),
        ("edge_encoder", "ogb"),
        ("out_size", True),
        ("out_size", 0),
        ("directed", []),
        ("max_distance", "far"),
        ("output_names", [1]),
        ("source", {"molecules": "none"}),
        ("source", {"node_labels": [[1, "a"]]}),
        ("source", {"node_labels": [3]}),
        ("source", {"degrees": 1.5}),
    ],
)
def test_facts_that_cannot_be(name, value):
    assert DatasetInfo.read(FACTS).node_size == (119, 5)
    with pytest.raises(DataError, match="no description of training data"):
        DatasetInfo.read(FACTS | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("dataset", {}), ("data_root", 0), ("cache", ["a"]), ("seeds", ""), ("seeds", []), ("seeds", [True])],
)
def test_descriptions_of_runs_that_cannot_be(tmp_path, name, value):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(RUN))
    assert open_run(tmp_path).seeds == (0,)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(RUN | {name: value}))
    with pytest.raises(RunError, match=f"config.yaml is not the description of a run: '{name}' is wrong"):
        open_run(tmp_path)


@pytest.mark.parametrize("saved", [{"target_columns": [{}]}, {"target_columns": "y"}, {"task": 3}, [1]])
def test_options_of_data_that_cannot_be(tmp_path, saved):
    with pytest.raises(ConfigError):
        DataOptions.read(saved)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(RUN | {"data_options": saved}))
    with pytest.raises(RunError, match=r"config\.yaml is not the description of a run: "):
        open_run(tmp_path)


def test_a_dgl_file_that_would_end_the_process(tmp_path):
    graph = dgl.graph(([0, 1], [1, 2]))
    dgl.save_graphs(str(tmp_path / "one.bin"), [graph])
    assert read_dgl_graphs(tmp_path / "one.bin")[0].num_edges() == 2
    content = bytearray((tmp_path / "one.bin").read_bytes())
    # Wherever a number is taken for a size of terabytes, DGL would ask for the memory.
    faults = 0
    for place in range(4096, len(content) - 8, 61):
        broken = content.copy()
        broken[place : place + 8] = (1 << 45).to_bytes(8, "little")
        (tmp_path / "broken.bin").write_bytes(broken)
        message = ""
        try:
            read_dgl_graphs(tmp_path / "broken.bin")
        except DataError as error:
            message = str(error)
        assert not message or "is no whole DGL file" in message
        faults += bool(message)
    assert faults > 5


def test_a_dgl_file_that_would_end_the_process_in_a_batch(tmp_path):
    dgl.save_graphs(str(tmp_path / "two.bin"), [dgl.graph(([0, 1], [1, 2])), dgl.graph(([0], [1]))])
    content = bytearray((tmp_path / "two.bin").read_bytes())
    # The type of node at which the edges of the first graph end. DGL reads it when it puts graphs together.
    place = content.index((0xDD2E60F0F6B4A127).to_bytes(8, "little")) - 17
    content[place : place + 8] = (1 << 40).to_bytes(8, "little")
    (tmp_path / "broken.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.bin is no whole DGL file"):
        read_dgl_graphs(tmp_path / "broken.bin")


def test_a_current_cache_with_a_flipped_bit_is_replaced(tmp_path):
    path, graphs = tmp_path / "x.h5", [nx.path_graph(97), nx.cycle_graph(5)]
    expected = preprocess_graphs(graphs, path, n_jobs=1, encodings=("rwse:3",)).encoding("rwse:3", 0)
    sound = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["encodings/rwse:3"].id.get_chunk_info(0)
    broken = bytearray(sound)
    broken[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(broken)
    with pytest.raises(CacheError, match="preprocess again"):
        DistanceCache(path).verify()
    again = preprocess_graphs(graphs, path, n_jobs=1, encodings=("rwse:3",))
    again.verify()
    np.testing.assert_array_equal(again.encoding("rwse:3", 0), expected)
    assert path.stat().st_size == len(sound)
