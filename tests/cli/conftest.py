import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradformer_dgl.cli import main


@dataclass
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def command(capfd):
    """Return a function that runs the command in this process and tells how it ended."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = 0 if stop.code is None else stop.code
        return Outcome(status, *capfd.readouterr())

    return run


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
