"""A run that pictures are drawn of: what its folder, its data and its cache still have to say."""

import dataclasses
import json
from functools import cached_property
from typing import Any

from torch import Tensor

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.colours import coloured
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.batch_loader import BatchSupply
from gradformer_dgl.training.checkpoint import load_tensors
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.metrics_file import read_records
from gradformer_dgl.training.network import Network, restored_network
from gradformer_dgl.training.objectives import as_targets
from gradformer_dgl.training.outputs import EVALUATION_BATCHES, labels_of, predict
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.runs import RESULT
from gradformer_dgl.training.seed_files import WEIGHTS
from gradformer_dgl.training.splits import split_of


@dataclasses.dataclass(frozen=True)
class SeedOutputs:
    """What the network of a seed says about the seed's test data, and what is true.

    Parameters
    ----------
    seed : int
        The seed.
    outputs : Tensor
        Shape (items, outputs): logits, or values in the unit of the targets.
    targets : Tensor
        Shape (items,) int64 classes, or (items, outputs) float32.
    """

    seed: int
    outputs: Tensor
    targets: Tensor


class OpenedRun:
    """Reads the parts of a run when they are asked for; ``notes`` says which seeds lack something.

    Parameters
    ----------
    request : RunSpec
        From :func:`gradformer_dgl.training.runs.open_run`.
    graph : int, optional
        Number of the graph whose attention is drawn. Default: one of the test graphs.
    layer : int, optional
        Its layer, counted from 1. Default: the last.
    """

    def __init__(self, request: RunSpec, graph: int | None = None, layer: int | None = None) -> None:
        self.request, self.graph, self.layer = request, graph, layer
        self.notes: list[str] = []

    @property
    def config(self) -> RunConfig:
        """Settings of the run."""
        return self.request.config

    @cached_property
    def records(self) -> dict[int, list[dict[str, Any]]]:
        """Records of the epochs of every seed that has any.

        Raises
        ------
        RunError
            Where no seed has.
        """
        return self._of_seeds("curves", lambda seed: read_records(self.request.seed_folder(seed)))

    @cached_property
    def weights(self) -> dict[int, tuple[dict[str, Tensor], dict[str, Any]]]:
        """Saved weights of every seed that has them, and the facts that are saved with them.

        Raises
        ------
        RunError
            Where no seed has.
        """
        return self._of_seeds("weights", lambda seed: load_tensors(self.request.seed_folder(seed) / WEIGHTS))

    @property
    def best_epochs(self) -> dict[int, int]:
        """The epoch whose weights each seed keeps, where it is known."""
        try:
            return {seed: facts["epoch"] for seed, (_, facts) in self.weights.items() if "epoch" in facts}
        except RunError:
            return {}

    @cached_property
    def result(self) -> dict[str, Any] | None:
        """What ``result.json`` holds; None where the run is not finished."""
        file = self.request.seed_folder(0).parent / RESULT
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return found if all(isinstance(one["seed"], int) for one in found["runs"]) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @cached_property
    def dataset(self) -> GraphDataset:
        """The data set with its distances, and the colours where the run has a head for them."""
        dataset = self.request.open_dataset()
        if not self.config.wl_rounds:
            return dataset
        graphs = coloured(dataset.graphs, self.config.wl_rounds, self.config.wl_counted)
        return dataclasses.replace(dataset, graphs=graphs)

    @cached_property
    def supply(self) -> BatchSupply:
        """Batches of the data set on the device."""
        return BatchSupply(self.dataset.graphs, self.request.device)

    @cached_property
    def networks(self) -> dict[int, Network]:
        """The networks of the seeds, ready to predict."""
        weights, facts = self.weights, DatasetInfo.of(self.dataset)
        return {
            seed: restored_network(facts, self.config, tensors).to(self.request.device)
            for seed, (tensors, _) in weights.items()
        }

    @cached_property
    def tests(self) -> list[SeedOutputs]:
        """Outputs and targets of every seed's test data."""
        size = EVALUATION_BATCHES * self.config.batch_size
        found = []
        for seed, network in self.networks.items():
            indices = self.test_graphs(seed)
            with matmul_precision(self.config.precision):
                outputs = predict(network, self.supply, indices, size)
            if self.dataset.task == "regression":
                outputs = network.in_target_units(outputs)
            targets = as_targets(labels_of(self.dataset, indices), self.dataset.task)
            found.append(SeedOutputs(seed, outputs, targets))
        return found

    def test_graphs(self, seed: int) -> Tensor:
        """Return the numbers of a seed's test graphs, or of its test nodes where there is one graph."""
        return split_of(self.dataset, self.config, seed)["test"]

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of classes or targets."""
        return DatasetInfo.of(self.dataset).outputs

    def _of_seeds(self, what: str, read: Any) -> dict[int, Any]:
        found, notes = {}, []
        for seed in self.request.seeds:
            try:
                found[seed] = read(seed)
            except RunError as error:
                notes.append(f"seed {seed} has no {what}: {error}")
        if not found:
            raise RunError(notes[0] if len(notes) == 1 else f"no seed has {what}; {notes[0]}")
        self.notes += notes
        return found


def near_median(node_counts: Tensor, edge_counts: Tensor, most_nodes: int) -> int:
    """Return the place of a graph that is easy to look at: of usual size, with edges, and not too large.

    Examples
    --------
    >>> import torch
    >>> near_median(torch.tensor([90, 5, 9, 30]), torch.tensor([99, 0, 16, 60]), most_nodes=40)
    2
    """
    wanted = min(float(node_counts.double().median()), most_nodes)
    off = (node_counts.double() - wanted).abs()
    off[(edge_counts == 0) | (node_counts < 3)] += 1e9
    off[node_counts > most_nodes] += 1e6
    return int(off.argmin())
