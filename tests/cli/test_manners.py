import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import gradformer_dgl

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, "-c", "from gradformer_dgl.cli import main; main()"]


def call(*arguments, **options):
    return subprocess.run(
        [*RUN, *arguments], capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_help_loads_neither_torch_nor_dgl():
    code = (
        "import sys\nfrom gradformer_dgl.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'dgl', 'numpy', 'h5py', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "preprocess" in done.stdout


def test_version():
    done = call("--version")
    assert done.stdout.strip().endswith(gradformer_dgl.__version__)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin", "MUTAG"], "No such command 'tarin'. Did you mean 'train'?"),
        (["train", "MUTAG", "--epoch", "3"], "No such option"),
        (["train"], "Missing argument 'DATASET'"),
        (["preprocess", "MUTAG", "--jobs", "0"], "0 is neither a number of workers from 1 on nor -1"),
        (["train", "MUTAG", "--optimizer", "sgd"], "'sgd' is not one of 'adam', 'adamw'"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message):
    done = call(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_import_is_quiet_and_light(tmp_path):
    code = (
        "import sys, gradformer_dgl\n"
        "from gradformer_dgl import Gradformer, GradformerLayer, ExponentialDecay, decay_attention\n"
        "from gradformer_dgl import PairDistances, GraphBatch\n"
        "import gradformer_dgl.preprocess, gradformer_dgl.cache, gradformer_dgl.data\n"
        "heavy = ('rdkit', 'matplotlib', 'tensorboard', 'ogb')\n"
        "sys.exit(','.join(name for name in heavy if name in sys.modules) or 0)"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "DGLBACKEND"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (home / ".dgl").exists()


def test_doctor_tells_versions():
    done = call("doctor")
    assert done.returncode == 0
    assert re.search(r"^torch +\d", done.stdout, re.MULTILINE)
    assert re.search(r"^dgl import +works", done.stdout, re.MULTILINE)
    assert re.search(r"^gpu +", done.stdout, re.MULTILINE)


def test_doctor_tells_all_that_the_package_requires():
    facts = json.loads(call("doctor", "--json").stdout)
    for line in importlib.metadata.requires("gradformer-dgl"):
        requirement = Requirement(line)
        name = requirement.name
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            assert facts[name] == importlib.metadata.version(name)
    extras = {"rdkit": "chem", "ogb": "ogb", "distributed": "dask", "ray": "ray", "optuna": "tune"}
    for name, extra in extras.items():
        assert re.match(rf"\d|not installed; `pip install gradformer-dgl\[{extra}\]` where", facts[name])
    assert "sphinx" not in facts
    assert "pytest" not in facts


def test_datasets_lists_names():
    done = call("datasets")
    assert done.returncode == 0
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"NCI1", "PROTEINS", "MUTAG", "NCI-TPSA"} <= names


def test_the_script_of_the_checkout_is_the_command():
    done = subprocess.run(
        [sys.executable, ROOT / "cli.py", "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith(gradformer_dgl.__version__)
