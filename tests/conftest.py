import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import beartype
import jaxtyping
import numpy as np
import pytest
import torch

from gradformer_dgl.support.graphbolt import keep_graphbolt_out

os.environ.setdefault("DGLBACKEND", "pytorch")
keep_graphbolt_out()

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# Random graphs that tests of several rooms take, imported by name, which importlib mode does not provide for.
sys.path.insert(0, str(ROOT / "tests" / "graphs"))


def annotated_modules() -> list[str]:
    """Return the modules that name the axes of their tensors; these are checked at every call."""
    modules = []
    for package, folder in [
        ("gradformer_dgl", ROOT / "gradformer_dgl"),
        ("gradformer_dgl.preprocess", ROOT / "preprocess"),
        ("gradformer_dgl.cache", ROOT / "cache"),
    ]:
        for file in sorted(folder.rglob("*.py")):
            name = ".".join((package, *file.relative_to(folder).with_suffix("").parts))
            if file.stem != "__init__" and "from jaxtyping import" in file.read_text(encoding="utf-8"):
                modules.append(name)
    return modules


# An int passes for a float, as it does for mypy. The hook takes a name alone, so it is given one.
beartype.numeric_tower = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
jaxtyping.install_import_hook(annotated_modules(), "beartype.numeric_tower")


@pytest.fixture(autouse=True)
def _one_thread():
    """Leave the other processors to the tests beside this one; waiting OpenMP threads would take them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Outcome:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs the command in this process and tells how it ended."""
    from gradformer_dgl.cli import main

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = 0 if stop.code is None else int(stop.code)
        return Outcome(status, *capfd.readouterr())

    return run


@pytest.fixture
def group_ends() -> Callable[[int], bool]:
    """Return a function that waits until no process of a group runs; those only to be reaped do not.

    A process that ends closes its files first: that its pipe is closed does not mean that it is gone.
    """

    def running(group: int) -> bool:
        states = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True)
        fields = [line.split() for line in states.stdout.splitlines()]
        return any(int(pgid) == group and not stat.startswith("Z") for pgid, stat in fields)

    def wait(group: int) -> bool:
        deadline = time.monotonic() + 60
        while running(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not running(group)

    return wait


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the benchmark data."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no benchmark data: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Arrays computed once with the published implementation."""
    file = SHARED / "golden" / "gradformer_golden.npz"
    if not file.is_file():
        pytest.skip(f"no reference arrays: {file} is absent")
    with np.load(file) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small TU data set, SHAPES: rings (class 1) and chains (class -1) of 5 to 19 nodes."""
    root = tmp_path_factory.mktemp("raw")
    folder = root / "SHAPES"
    folder.mkdir()
    edges, indicator, graph_labels, node_labels, first = [], [], [], [], 1
    for graph in range(97):
        size, ring = 5 + graph % 15, (graph * 7) % 3 == 0
        pairs = [(i, i + 1) for i in range(size - 1)] + ([(size - 1, 0)] if ring else [])
        edges += [(first + i, first + j) for a, b in pairs for i, j in ((a, b), (b, a))]
        indicator += [graph + 1] * size
        node_labels += [i % 3 for i in range(size)]
        graph_labels.append(1 if ring else -1)
        first += size
    for name, lines in [
        ("A", [f"{i}, {j}" for i, j in edges]),
        ("graph_indicator", indicator),
        ("graph_labels", graph_labels),
        ("node_labels", node_labels),
    ]:
        (folder / f"SHAPES_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root
