"""Trained run that pictures are drawn of: the seeds that have something to draw, and a graph and layer."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.network import Network
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.trained_run import SeedOutputs, TrainedRun

T = TypeVar("T")


class PlottedRun(TrainedRun):
    """A run whose seeds may lack files; ``notes`` has a line for each that does.

    The graph whose attention is drawn is by default one of the test graphs, its layer, from 1, the last.
    """

    def __init__(self, spec: RunSpec, graph: int | None = None, layer: int | None = None) -> None:
        super().__init__(spec)
        self.graph, self.layer = graph, layer
        self.notes: list[str] = []

    @cached_property
    def records_by_seed(self) -> dict[int, list[dict[str, Any]]]:
        """Records of the epochs of every seed that has any."""
        return self._by_seed("curves", self.records)

    @cached_property
    def best_epochs(self) -> dict[int, int]:
        """The epoch whose weights each seed keeps, where it is known."""
        try:
            return {seed: saved[1]["epoch"] for seed, saved in self._weights.items() if "epoch" in saved[1]}
        except RunError:
            return {}

    @cached_property
    def networks(self) -> dict[int, Network]:
        """The networks of the seeds that have weights, ready to predict."""
        return {seed: self.network(seed) for seed in self._weights}

    @cached_property
    def tests(self) -> list[SeedOutputs]:
        """Outputs and targets of every seed's test data."""
        return [self.outputs(seed) for seed in self.networks]

    def test_graphs(self, seed: int) -> Int64[Tensor, "_"]:
        """Return the numbers of a seed's test graphs, or of its test nodes where there is one graph."""
        return self.split(seed)["test"]

    @cached_property
    def _weights(self) -> dict[int, tuple[dict[str, Tensor], dict[str, Any]]]:
        return self._by_seed("weights", self.weights)

    def _by_seed(self, what: str, read: Callable[[int], T]) -> dict[int, T]:
        found, notes = {}, []
        for seed in self.seeds:
            try:
                found[seed] = read(seed)
            except RunError as error:
                notes.append(f"seed {seed} has no {what}: {error}")
        if not found:
            raise RunError(notes[0] if len(notes) == 1 else f"no seed has {what}; {notes[0]}")
        self.notes += notes
        return found
