"""The package works where neither it nor the home folder can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Permissions do not bind root unless it gives up its capabilities.
AS_ANYONE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
CODE = """
import os, sys
sys.meta_path = [finder for finder in sys.meta_path
                 if "__editable__" not in type(finder).__module__ + getattr(finder, "__module__", "")]
sys.path.insert(0, {site!r})
import gradformer_dgl
from gradformer_dgl import Gradformer
from gradformer_dgl.preprocess import shortest_path_distances
from gradformer_dgl.preprocess.shortest_paths_kernels import pair_distances
from gradformer_dgl.jit.compile import is_kept_on_disk

assert gradformer_dgl.__file__.startswith({site!r})
for folder in ({site!r}, {home!r}):
    assert not os.access(folder, os.W_OK)
print(shortest_path_distances(([0, 1], [1, 2], 3)).tolist(), is_kept_on_disk(pair_distances))
"""


@pytest.mark.skipif(bool(AS_ANYONE) and shutil.which("setpriv") is None, reason="root without setpriv")
def test_read_only_home_and_package(tmp_path):
    site, home = tmp_path / "site", tmp_path / "home"
    for source, target in [("gradformer_dgl", ""), ("preprocess", "preprocess"), ("cache", "cache")]:
        shutil.copytree(
            ROOT / source,
            site / "gradformer_dgl" / target,
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    home.mkdir()
    for folder in (home, *(path for path in (site, *site.rglob("*")) if path.is_dir())):
        folder.chmod(0o555)
    done = subprocess.run(
        [*AS_ANYONE, sys.executable, "-c", CODE.format(site=str(site), home=str(home))],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    for folder in (home, *(path for path in (site, *site.rglob("*")) if path.is_dir())):
        folder.chmod(0o755)
    assert done.stdout == "[[0, 1, 2], [1, 0, 1], [2, 1, 0]] False\n", done.stderr
    assert done.stderr == ""
