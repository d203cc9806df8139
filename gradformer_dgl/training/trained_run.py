"""Trained run: settings, data, networks and outputs of a run folder, read when they are asked for."""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.batch_loader import BatchLoader
from gradformer_dgl.training.config import RunConfig, read_settings
from gradformer_dgl.training.data_description import (
    dataset_info,
    describe_data,
    require_same_data,
    saved_info,
)
from gradformer_dgl.training.network import Network, model_class, restored_network
from gradformer_dgl.training.objectives import as_targets
from gradformer_dgl.training.outputs import EVALUATION_BATCHES, labels_of, predict
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.run_folder import CONFIG, RESULT, read_spec
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.seed_files import WEIGHTS, read_records
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.tensor_files import load_tensors


@dataclasses.dataclass(frozen=True)
class SeedOutputs:
    """Outputs of the network of a seed, (items, outputs), and its targets for one part of its split.

    Outputs are logits, or values in the unit of the targets; targets are classes, int64 of shape (items,), or
    float32 of shape (items, outputs).
    """

    seed: int
    outputs: Float[Tensor, "items outputs"]
    targets: Shaped[Tensor, "items *outputs"]


def open_run(
    folder: Path,
    data_root: str | None = None,
    cache: str | None = None,
    device: str = "cpu",
    trust: bool = False,
) -> "TrainedRun":
    """Open a run folder.

    Parameters
    ----------
    folder : Path
        A folder that ``gradformer-dgl train`` wrote.
    data_root, cache : str, optional
        Raw data and distances, where they are no longer where the training found them.
    device : str
        ``"cpu"`` or a CUDA device.
    trust : bool
        Whether Python code that the folder names, ``"module:name"``, may be imported.

    Raises
    ------
    RunError
        Where the folder is no run folder.
    ConfigError
        Where its settings name Python code, and it is not trusted.
    """
    return TrainedRun(read_spec(folder, data_root, cache, device, trust))


class TrainedRun:
    """A run folder that is read piece by piece: nothing is loaded before it is asked for."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.spec.folder)

    @property
    def config(self) -> RunConfig:
        """Settings of the run."""
        return self.spec.config

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the run."""
        return self.spec.seeds

    def only(self, seed: int) -> "TrainedRun":
        """Return the run with one of its seeds; RunError where it has no such seed."""
        if seed not in self.seeds:
            known = ", ".join(map(str, self.seeds))
            raise RunError(f"{self.folder} has no seed {seed}: there are {known}")
        return TrainedRun(dataclasses.replace(self.spec, seeds=(seed,)))

    def records(self, seed: int) -> list[dict[str, Any]]:
        """Return the records of the epochs of a seed; see :func:`read_records`."""
        return read_records(self.spec.seed_folder(seed))

    def weights(self, seed: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the saved weights of a seed, and the metadata with them; see :func:`load_tensors`."""
        return load_tensors(self.spec.seed_folder(seed) / WEIGHTS)

    @cached_property
    def result(self) -> dict[str, Any] | None:
        """Content of ``result.json``; None where the run is not finished."""
        try:
            found = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
            return found if all(isinstance(one["seed"], int) for one in found["runs"]) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Content of ``config.yaml``."""
        return read_settings(self.folder / CONFIG)

    @property
    def saved_info(self) -> DatasetInfo | None:
        """Dataset info in the run folder; None where an older version wrote it."""
        return saved_info(self.folder / CONFIG, self.settings)

    @cached_property
    def info(self) -> DatasetInfo:
        """Dataset info of the training data, from the folder, else from the data and its cache."""
        return self.saved_info or dataset_info(self.spec.load_dataset(), self.spec)

    @cached_property
    def dataset(self) -> GraphDataset:
        """The data set with distances, and the encodings that the model reads."""
        dataset = self.spec.open_dataset()
        graphs = model_class(self.config).prepare(dataset.graphs, self.config)
        return dataclasses.replace(dataset, graphs=graphs)

    @cached_property
    def loader(self) -> BatchLoader:
        """Batches of the data set on the device."""
        return BatchLoader(self.dataset.graphs, self.spec.device)

    @cached_property
    def data(self) -> dict[str, Any]:
        """Description of the data of today; RunError where it is not that of the run."""
        today = describe_data(self.dataset, self.spec)
        require_same_data(self.folder / CONFIG, self.settings, today)
        return today

    def split(self, seed: int) -> dict[str, Int64[Tensor, "_"]]:
        """Return the split of a seed; see :func:`split_of`."""
        return split_of(self.dataset, self.config, seed)

    def network(self, seed: int) -> Network:
        """Return the network of a seed with its saved weights, on the device, ready to predict."""
        return restored_network(self.info, self.config, self.weights(seed)[0]).to(self.spec.device)

    def outputs(self, seed: int, part: str = "test") -> SeedOutputs:
        """Return outputs and targets of a seed for ``"train"``, ``"val"`` or ``"test"``."""
        network, indices = self.network(seed), self.split(seed)[part]
        with matmul_precision(self.config.precision):
            outputs = predict(network, self.loader, indices, EVALUATION_BATCHES * self.config.batch_size)
        if self.dataset.task == "regression":
            outputs = network.in_target_units(outputs)
        return SeedOutputs(seed, outputs, as_targets(labels_of(self.dataset, indices), self.dataset.task))
