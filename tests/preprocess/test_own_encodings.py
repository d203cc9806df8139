"""Encodings and distances of a user's own, from the command line to the cache."""

import itertools

import numpy as np
import pytest

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.preprocess import GraphStructures, preprocess_graphs
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.preprocess.extra_distances import extra_distances, parse_extra_distances
from gradformer_dgl.support.errors import ConfigError

MODULE = '''
import numpy as np


class Places:
    """Number of each node in its graph, times 1 .. k."""

    def __call__(self, structures, columns, directed):
        places = np.concatenate([np.arange(count) for count in structures.node_counts])
        return np.outer(places, np.arange(1, columns + 1)).astype(np.float32)


def pairs(structures, columns, directed):
    return Places()(structures, columns, directed)


pairs.traits = {"columns": 2}


def wide(structures, columns, directed):
    return Places()(structures, columns + 1, directed)


def precise(structures, columns, directed):
    return Places()(structures, columns, directed).astype(np.float64)


def unknown(structures, columns, directed):
    return Places()(structures, columns, directed) / np.float32(0)


def listed(structures, columns, directed):
    return [1.0]


def fails(structures, columns, directed):
    return columns / 0


class Demanding:
    def __init__(self, argument):
        pass


class TooMany:
    traits = {"columns": 2000}


def between(structures, directed, first_graph):
    between = [np.abs(np.subtract.outer(np.arange(n), np.arange(n))).ravel() for n in structures.node_counts]
    return np.concatenate(between).astype(np.float32)


def not_a_number(structures, directed, first_graph):
    return between(structures, directed, first_graph) * np.float32("nan")


def two_ways(structures, directed, first_graph):
    return between(structures, directed, first_graph)


two_ways.traits = {"directed": False}
'''
PATHS = GraphStructures([3, 2], [2, 1], [0, 1, 0], [1, 2, 1])
PLACES = np.array([0, 1, 2, 0, 1])


NUMBERS = itertools.count()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Name of a module; another one for each test, for what was imported once is kept."""
    name = f"own_{next(NUMBERS)}"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    return name


def test_from_the_command_line_to_the_cache(command, shapes_root, tmp_path, own):
    options = ("--data-root", shapes_root, "--cache-dir", tmp_path, "--jobs", 1)
    chosen = ("--encodings", f"{own}:Places:8", "--encodings", f"{own}:pairs", "--encodings", "rwse:3")
    done = command("preprocess", "SHAPES", *options, *chosen, "--extra-distances", f"{own}:between")
    assert done.status == 0, done.err
    cache = DistanceCache(tmp_path / "SHAPES.h5")
    cache.verify()
    assert cache.encodings == (f"{own}:Places:8", f"{own}:pairs:2", "rwse:3")
    places = np.concatenate([np.arange(count) for count in cache.node_counts])
    np.testing.assert_array_equal(cache.encoding(f"{own}:Places:8"), np.outer(places, np.arange(1, 9)))
    np.testing.assert_array_equal(cache.encoding(f"{own}:pairs"), np.outer(places, [1, 2]))
    np.testing.assert_array_equal(cache.encoding(f"{own}:pairs:2", 7)[:, 0], np.arange(cache.node_counts[7]))
    size = np.arange(cache.node_counts[5])
    np.testing.assert_array_equal(
        cache.extra_distance(f"{own}:between", 5), np.abs(np.subtract.outer(size, size))
    )
    before = cache.path.stat().st_ino
    assert command("preprocess", "SHAPES", *options, "--encodings", f"{own}:pairs:2").status == 0
    assert cache.path.stat().st_ino == before


def test_processes_find_it_too(tmp_path, monkeypatch, own):
    monkeypatch.chdir(tmp_path / "modules")
    cache = preprocess_graphs(
        PATHS, tmp_path / "x.h5", n_jobs=2, backend="loky", encodings=(f"{own}:Places:3",)
    )
    np.testing.assert_array_equal(cache.encoding(f"{own}:Places"), np.outer(PLACES, [1, 2, 3]))


def test_a_number_after_the_last_colon_is_a_width(own):
    names = [f"{own}:Places:8", f"{own}:pairs", f"{own}:pairs:2", "rwse:3"]
    assert [encoding.name for encoding in parse_encodings(names)] == [
        f"{own}:Places:8",
        f"{own}:pairs:2",
        "rwse:3",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OWN:Places", "'OWN:Places' needs its number of columns, 1 to 1024, as in OWN:Places:20"),
        ("OWN:Places:0", "'OWN:Places:0' needs its number of columns"),
        ("OWN:pairs:3", "'OWN:pairs:3' has 2 columns always: write OWN:pairs or OWN:pairs:2"),
        ("OWN:TooMany", "OWN:TooMany has 2000 columns, not 1 to 1024"),
        ("OWN:Absent:3", "encoding OWN:Absent:3: the module OWN has no 'Absent'"),
        ("no_such_module:Places:3", "there is no module 'no_such_module' in the current folder or installed"),
        ("OWN:Places:3:4", "no encoding 'OWN:Places:3:4': there are .* module:name or module:name:k for one"),
        ("rwsee:3", "no encoding 'rwsee:3': there are .*; did you mean 'rwse'"),
    ],
)
def test_names_that_are_wrong(name, message, own):
    with pytest.raises(ConfigError, match=message.replace("OWN", own)):
        parse_encodings([name.replace("OWN", own)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wide", r"returns float32 of shape \(5, 4\), not float32 of shape \(5, 3\)"),
        ("precise", r"returns float64 of shape \(5, 3\), not float32 of shape \(5, 3\)"),
        ("unknown", r"returns nan at \[0, 0\]"),
        ("listed", r"returns list of shape \(\), not float32 of shape \(5, 3\)"),
        ("fails", "fails with ZeroDivisionError: division by zero"),
        ("Demanding", "fails with TypeError: .*argument"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
def test_results_that_are_wrong_are_one_line(tmp_path, name, message, own):
    with pytest.raises(ConfigError, match=rf"^encoding {own}:{name}:3 {message}") as caught:
        preprocess_graphs(PATHS, tmp_path / "x.h5", encodings=(f"{own}:{name}:3",))
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["modules"]


def test_distances(own):
    assert extra_distances(PATHS, f"{own}:between").tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 0, 1, 1, 0]
    assert parse_extra_distances([f"{own}:between", "weighted"], directed=True)[1]
    with pytest.raises(ConfigError, match=rf"extra distance {own}:not_a_number returns nan at \[0\]"):
        extra_distances(PATHS, f"{own}:not_a_number")
    with pytest.raises(ConfigError, match=f"{own}:two_ways is a distance of undirected graphs"):
        parse_extra_distances([f"{own}:two_ways"], directed=True)
    with pytest.raises(ConfigError, match=f"the module {own} has no 'absent'"):
        parse_extra_distances([f"{own}:absent"], directed=False)
