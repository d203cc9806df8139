import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = torch.__version__.partition("+")[0]


@pytest.fixture
def imported(tmp_path):
    """Return a function that imports a DGL with GraphBolt for some releases of torch, as DGL 2 is."""

    def run(releases, code="import gradformer_dgl, dgl; print(dgl.graph_is_here)"):
        folder = tmp_path / "dgl"
        (folder / "graphbolt").mkdir(parents=True)
        (folder / "__init__.py").write_text("from . import graphbolt as gb\ngraph_is_here = True\n")
        (folder / "graphbolt" / "__init__.py").write_text("print('GraphBolt itself')\nItemSet = 1\n")
        for release in releases:
            (folder / "graphbolt" / f"libgraphbolt_pytorch_{release}.so").touch()
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=Path.cwd()
        )
        return done.stdout.split("\n")[:-1], done.stderr

    return run


def test_a_graphbolt_for_another_torch_is_kept_out(imported):
    assert imported(["1.0.0", "1.0.1"])[0] == ["True"]


def test_one_for_this_torch_is_left_alone(imported):
    assert imported(["1.0.0", HERE])[0] == ["GraphBolt itself", "True"]


def test_one_without_libraries_is_left_alone(imported):
    assert imported([])[0] == ["GraphBolt itself", "True"]


def test_who_wants_it_is_told(imported):
    out, errors = imported(
        ["1.0.0"], "import gradformer_dgl, dgl; print(hasattr(dgl.gb, '__file__')); dgl.gb.ItemSet"
    )
    assert out == ["False"]
    assert errors.splitlines()[-1].startswith("ImportError: GraphBolt has no ItemSet here: the installed DGL")


def test_a_dgl_that_is_imported_already_is_left_alone(imported):
    out, _ = imported(["1.0.0"], "import dgl, gradformer_dgl; print(dgl.gb.ItemSet)")
    assert out == ["GraphBolt itself", "1"]
