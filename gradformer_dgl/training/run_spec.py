"""Run spec: all that a training needs to know, small enough to be sent to other processes."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import GraphDataset, load_dataset
from gradformer_dgl.data.catalog import reader_for
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.data.readers.registry import READERS
from gradformer_dgl.support.errors import ConfigError, DataError, RunError
from gradformer_dgl.training.config import RunConfig


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """Data, settings, seeds and folder of a run.

    Parameters
    ----------
    dataset : str
        Name of the data set, CSV file of molecules, or ``"module:function"``.
    data_root : str, optional
        Folder of the raw data.
    cache : str
        File with the distances.
    folder : str
        Folder of the run.
    config : RunConfig
        Settings.
    seeds : tuple of int
        One training each.
    device : str
        ``"cpu"`` or a CUDA device.
    threads : int
        Threads of each process.
    resume : bool
        Resume from the checkpoints in the folder.
    overwrite : bool
        Replace a run that the folder holds.
    data_options : DataOptions
        Task and columns of a data set that does not name them itself.
    trusted : bool
        Whether Python code that the spec names may be imported; False for one read from a run folder.
    """

    dataset: str
    data_root: str | None
    cache: str
    folder: str
    config: RunConfig
    seeds: tuple[int, ...]
    device: str = "cpu"
    threads: int = 1
    resume: bool = False
    overwrite: bool = False
    data_options: DataOptions = dataclasses.field(default_factory=DataOptions)
    trusted: bool = True

    def load_dataset(self) -> GraphDataset:
        """Read the data set, without distances.

        Raises
        ------
        DataError
            Where it is missing or broken, or the options do not suit it.
        ConfigError
            Where Python code makes it, and the spec is not trusted.
        """
        if not self.trusted:
            refuse_code(self.folder, self._code_of_data())
        return load_dataset(self.dataset, self.data_root, **self.data_options.given())

    def _code_of_data(self) -> list[str]:
        reader = self.data_options.given().get("reader")
        if reader and reader not in READERS:
            return [reader]
        part = reader_for(self.dataset, reader)
        return [self.dataset] if part is not None and part.name == "python" else []

    def open_dataset(self, dataset: GraphDataset | None = None) -> GraphDataset:
        """Attach the cached distances and encodings to the data set, which is read unless it is given.

        Raises
        ------
        DataError, CacheError
            Where either is missing, broken, or they do not belong together.
        """
        dataset = self.load_dataset() if dataset is None else dataset
        if dataset.graphs.labels is None:
            raise DataError(f"{dataset.name} has no labels to train on")
        cache = DistanceCache(self.cache)
        needed = [("encodings", name, f"encoding {name}") for name in self.config.encodings]
        needed += [("extra_distances", name, f"{name} distances") for name in self.config.extra_distances]
        for kind, name, title in needed:
            if name not in getattr(cache, kind):
                raise RunError(
                    f"{self.cache} holds no {title}: run `gradformer-dgl preprocess {self.dataset} "
                    f"--{kind.replace('_', '-')} {name}` first"
                )
        graphs = dataset.graphs.with_cache(
            cache, distance=self.config.distance, unit=self.config.distance_unit
        )
        return dataclasses.replace(dataset, graphs=graphs)

    def seed_folder(self, seed: int) -> Path:
        """Return the folder in which one seed keeps its files."""
        return Path(self.folder) / f"seed-{seed}"


def refuse_code(folder: str | Path, names: Sequence[str]) -> None:
    """Raise ConfigError where a run folder, which may be a stranger's, names Python code."""
    if names:
        raise ConfigError(
            f"{folder} names Python code, {', '.join(names)}, which is run only if you trust it: add --trust "
            "(in Python trust=True)"
        )


@functools.lru_cache(maxsize=1)
def open_once(spec: RunSpec) -> GraphDataset:
    """Open the data set of a run; a process that does one training after the other reads it once."""
    return spec.open_dataset()
