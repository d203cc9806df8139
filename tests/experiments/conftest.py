from pathlib import Path

import pytest

from gradformer_dgl.data import load_dataset
from gradformer_dgl.experiments.caches import ensure_cache
from gradformer_dgl.experiments.experiment import experiments_of
from gradformer_dgl.experiments.reproduction import Folders
from gradformer_dgl.experiments.tables import TABLES
from gradformer_dgl.training.loop import Trainer


@pytest.fixture(scope="session")
def caches(shapes_root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("caches")
    ensure_cache(load_dataset("SHAPES", shapes_root), folder / "SHAPES.h5", ["rwse:20"])
    return folder


@pytest.fixture
def place(tmp_path, caches, shapes_root) -> Folders:
    return Folders(tmp_path / "results", tmp_path / "work", caches, shapes_root)


@pytest.fixture
def shapes_experiments():
    """Return a function that lists the experiments of a table on SHAPES, of a few epochs."""

    def make(table="main", models=("gradformer", "gin"), epochs=2, **options):
        return experiments_of(TABLES[table], ["SHAPES"], models, epochs=epochs, **options)

    return make


@pytest.fixture
def epochs_trained(monkeypatch) -> list[tuple[str, int, int]]:
    """Model, seed and epoch of everything that is trained in this process."""
    seen = []
    run_epoch = Trainer.run_epoch

    def counted(self, epoch):
        seen.append((self.config.model, self.seed, epoch))
        return run_epoch(self, epoch)

    monkeypatch.setattr(Trainer, "run_epoch", counted)
    return seen
