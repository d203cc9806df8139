"""The count of rooms, arrows, lines and arguments, on a package made for it."""

import importlib.util
import subprocess
import sys

import pytest
from pages import ROOT

SCRIPT = ROOT / "tests" / "house_numbers.py"


@pytest.fixture
def house_numbers():
    """The module of the script."""
    spec = importlib.util.spec_from_file_location("house_numbers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    """A package of three rooms, a flat module, and the room `cache` through a link."""
    arguments = ", ".join(f"a{number}" for number in range(13))
    files = {
        "README.md": "one two\nthree\n",
        "gradformer_dgl/__init__.py": "from gradformer_dgl.nn.layer import Layer\n",
        "gradformer_dgl/flat.py": "import gradformer_dgl.nn.layer\n",
        "gradformer_dgl/nn/__init__.py": "",
        "gradformer_dgl/nn/layer.py": f"class Layer:\n    def __init__(self, {arguments}):\n        pass\n",
        "gradformer_dgl/training/__init__.py": "",
        "gradformer_dgl/training/loop.py": "def f():\n    from gradformer_dgl.nn import layer\n"
        "    import gradformer_dgl.cache\n",
        "cache/__init__.py": "from gradformer_dgl import nn\n" * 301,
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "gradformer_dgl" / "cache").symlink_to("../cache")
    return tmp_path


def test_counts(house_numbers, checkout):
    found = house_numbers.numbers(checkout)
    assert found["rooms (folders and flat modules)"] == "4"
    assert found["flat modules"] == "1"
    # flat and training to nn, training to cache, cache to nn
    assert found["arrows between rooms"] == "4"
    assert found["files"] == "7"
    assert found["lines of the package"] == "309"
    assert found["longest file"] == "301 (cache)"
    assert found["files beyond 300 lines"] == "1"
    assert found["functions with more than 12 arguments"] == "1"
    assert found["most arguments of a function"] == "13"
    assert found["words of the README"] == "3"


def test_rooms_that_import_each_other(house_numbers, checkout):
    (checkout / "gradformer_dgl" / "nn" / "layer.py").write_text("import gradformer_dgl.cache\n")
    found = house_numbers.numbers(checkout)
    assert found["pairs of rooms that import each other"] == "1"
    assert found["most arguments of a function"] == "0"


def test_two_checkouts_side_by_side(checkout):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(checkout), str(ROOT)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == f"| | {checkout} | {ROOT} |"
    assert all(line.count("|") == 4 for line in lines)
