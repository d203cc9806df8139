"""The trained networks of a run, for new graphs."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.data.colours import coloured
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.frames import AUTO
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.prediction.distances import CachedDistances, ComputedDistances, DistanceSource
from gradformer_dgl.prediction.fit import FeatureFit
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.batch_loader import BatchSupply
from gradformer_dgl.training.checkpoint import load_tensors
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.devices import choose_device
from gradformer_dgl.training.network import Network, restored_network
from gradformer_dgl.training.outputs import EVALUATION_BATCHES
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.runs import open_run, read_facts
from gradformer_dgl.training.seed_files import WEIGHTS

GRAPHS_AT_ONCE, PAIRS_AT_ONCE = 4096, 1 << 25
"""The distances of so many graphs, or pairs of nodes, are held in memory at a time."""
PAIRS_IN_A_BATCH = 1 << 22
_logger = logging.getLogger("gradformer_dgl")


class Predictor:
    """Predicts what a run has learned to predict; the seeds of a run form an ensemble.

    Nothing is unpickled: a run folder is YAML and safetensors, and needs its training data no more.

    Parameters
    ----------
    facts : DatasetInfo
        Of the training data.
    config : RunConfig
        Settings of the run.
    networks : mapping of int to Network
        The network of each seed.
    device : str
        ``"cpu"`` or a CUDA device.
    data_options : DataOptions
        What was said about the training data.

    Examples
    --------
    >>> from gradformer_dgl.training.network import build_model
    >>> import dgl
    >>> facts = DatasetInfo("rings", "multiclass", "graph", 3, "linear", 2, node_kind="number")
    >>> config = RunConfig(feat_size=8, num_layers=1, num_heads=2)
    >>> predictor = Predictor(facts, config, {0: Network(build_model(facts, config))})
    >>> graph = dgl.graph(([0, 1], [1, 0]))
    >>> graph.ndata["feat"] = torch.rand(2, 2)
    >>> probabilities = predictor.predict([graph, graph])
    >>> probabilities.shape, bool(probabilities.sum(1).isclose(torch.ones(2)).all())
    (torch.Size([2, 3]), True)
    """

    def __init__(
        self,
        facts: DatasetInfo,
        config: RunConfig,
        networks: Mapping[int, Network],
        device: str = "cpu",
        data_options: DataOptions | None = None,
    ) -> None:
        self.facts, self.config, self.device = facts, config, device
        self.networks = {seed: network.to(device).eval() for seed, network in networks.items()}
        options = data_options or DataOptions()
        some = next(iter(self.networks.values())).model
        colours_read_edges = config.wl_rounds > 0 and facts.edge_kind in ("flag", "category")
        self.fit = FeatureFit(
            facts,
            uses_edges=some.edge_encoder is not None or colours_read_edges,
            node_key=_key(options.node_features),
            edge_key=_key(options.edge_features),
        )

    @classmethod
    def from_run(
        cls,
        run: str | os.PathLike[str],
        seed: int | None = None,
        device: str = "cpu",
        data_root: str | None = None,
    ) -> "Predictor":
        """Load the weights of a run folder.

        Parameters
        ----------
        run : path-like
            A folder that ``gradformer-dgl train`` wrote; ``config.yaml`` and ``seed-N/weights.safetensors``
            are enough of it.
        seed : int, optional
            The seed whose weights are taken. Default: all of them.
        device : str
            ``"cpu"``, a CUDA device, or ``"auto"`` for a GPU where there is one.
        data_root : str, optional
            Where the training data lies, for a run of an older version, which does not say enough about it.

        Raises
        ------
        RunError
            Where the folder is no run folder, has no weights, or no such seed.
        ConfigError
            Where the device cannot be used.
        """
        device = choose_device(device)
        request = open_run(Path(run), data_root, device=device)
        facts = read_facts(request, reread=data_root is not None)
        if seed is not None and seed not in request.seeds:
            known = ", ".join(str(known) for known in request.seeds)
            raise RunError(f"{run} has no seed {seed}: there are {known}")
        networks = {}
        for number in request.seeds if seed is None else (seed,):
            tensors, _ = load_tensors(request.seed_folder(number) / WEIGHTS)
            networks[number] = restored_network(facts, request.config, tensors)
            _logger.debug("weights of seed %d on %s", number, device)
        return cls(facts, request.config, networks, device, request.data_options)

    def predict(
        self,
        graphs: PackedGraphs | GraphDataset | Iterable[Any],
        cache: str | os.PathLike[str] | None = None,
    ) -> Float[Tensor, "items outputs"]:
        """Return the predictions for graphs, averaged over the seeds.

        Parameters
        ----------
        graphs : PackedGraphs, GraphDataset, or iterable of dgl.DGLGraph
            With the features of the training data; see :meth:`FeatureFit.packed`.
        cache : path-like, optional
            Where their distances are cached. Default: they are computed.

        Returns
        -------
        Tensor
            Shape (graphs, outputs), or (nodes, outputs) for a node task, float32: the probability of each
            class (multiclass) or column (binary, multilabel); or the values of a regression, in the unit of
            its targets.

        Raises
        ------
        DataError, GraphError
            Where the graphs lack features that the run reads, or there are no graphs.
        CacheError
            Where the cache is of other graphs.
        """
        packed = self.fit.packed(graphs)
        source = self.distances(cache)
        parts = [part.mean(0) for part in self.each_part(packed, source)]
        source.finish(len(packed))
        return torch.cat(parts).float()

    def distances(self, cache: str | os.PathLike[str] | None = None) -> DistanceSource:
        """Return what gives graphs their distances: a cache, or computation."""
        if cache is None:
            return ComputedDistances(self.facts, self.config)
        return CachedDistances(Path(cache), self.facts, self.config)

    def each_part(
        self, graphs: PackedGraphs, source: DistanceSource, first: int = 0
    ) -> Iterator[Float64[Tensor, "seeds items outputs"]]:
        """Predict some graphs after the other, so that not all their distances are in memory.

        Parameters
        ----------
        graphs : PackedGraphs
            With the features that the run reads (:meth:`FeatureFit.fitted`).
        source : DistanceSource
            Where their distances come from.
        first : int
            Number of the first graph, for the source.

        Yields
        ------
        Tensor
            The predictions of each seed for the next graphs.
        """
        for start, stop in _runs(graphs.node_counts, GRAPHS_AT_ONCE, PAIRS_AT_ONCE):
            part = source.attach(graphs.part(start, stop), first + start)
            if self.config.wl_rounds:
                part = coloured(part, self.config.wl_rounds, self.config.wl_counted)
            yield self._predicted(part)

    @torch.no_grad()
    def _predicted(self, graphs: PackedGraphs) -> Float64[Tensor, "seeds items outputs"]:
        size = EVALUATION_BATCHES * self.config.batch_size
        runs = _runs(graphs.node_counts, size, PAIRS_IN_A_BATCH)
        batches = BatchSupply(graphs, self.device).each([torch.arange(*run) for run in runs])
        with matmul_precision(self.config.precision):
            parts = [
                torch.stack([self._in_units(network, network(batch)) for network in self.networks.values()])
                for batch in batches
            ]
        return torch.cat(parts, dim=1).cpu()

    def _in_units(self, network: Network, outputs: Tensor) -> Tensor:
        if self.facts.task == "regression":
            return network.in_target_units(outputs).double()
        if self.facts.task == "multiclass":
            return outputs.double().softmax(1)
        return outputs.double().sigmoid()


def _runs(node_counts: Tensor, most_graphs: int, most_pairs: int) -> list[tuple[int, int]]:
    """Cut graphs into runs of at most so many graphs and, but for a single larger one, pairs of nodes."""
    runs, start, pairs = [], 0, 0
    for number, nodes in enumerate(node_counts.tolist()):
        if number > start and (number - start == most_graphs or pairs + nodes**2 > most_pairs):
            runs.append((start, number))
            start, pairs = number, 0
        pairs += nodes**2
    return [*runs, (start, len(node_counts))] if len(node_counts) else runs


def _key(key: str | None) -> str | None:
    return AUTO if key is None else None if key == "none" else key
