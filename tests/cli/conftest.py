import shutil
from pathlib import Path

import pytest


@pytest.fixture
def raw(shapes_root, tmp_path) -> Path:
    """A copy of the raw data that a test may break."""
    shutil.copytree(shapes_root, tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def cached(command, raw, tmp_path) -> Path:
    """The cache of the raw data."""
    done = command("preprocess", "SHAPES", "--data-root", raw, "--cache-dir", tmp_path, "--jobs", "1")
    assert done.status == 0, done.err
    return tmp_path / "SHAPES.h5"
