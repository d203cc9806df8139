"""Predictor: the trained networks of a run for new graphs."""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.dgl_features import AUTO
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.data.readers.csv_table import some_of
from gradformer_dgl.prediction.distances import (
    CachedDistances,
    ComputedDistances,
    DistanceNeeds,
    DistanceSource,
)
from gradformer_dgl.prediction.fit import FeatureFit
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.batch_loader import BatchLoader
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.devices import choose_device
from gradformer_dgl.training.network import Network, model_class
from gradformer_dgl.training.outputs import EVALUATION_BATCHES
from gradformer_dgl.training.precision import matmul_precision
from gradformer_dgl.training.run_folder import CONFIG
from gradformer_dgl.training.trained_run import open_run

GRAPHS_AT_ONCE, PAIRS_AT_ONCE = 4096, 1 << 25
"""The distances of so many graphs, or pairs of nodes, are held in memory at a time."""
PAIRS_IN_A_BATCH = 1 << 22
_logger = logging.getLogger("gradformer_dgl")


class Predictor:
    """Predict with the networks of a run; its seeds form an ensemble.

    Nothing is unpickled: a run folder is YAML and safetensors, and its training data is no longer needed.
    Python code that it names is imported only if it is trusted.

    Parameters
    ----------
    info : DatasetInfo
        Of the training data.
    config : RunConfig
        Settings of the run.
    networks : mapping of int to Network
        The network of each seed.
    device : str
        ``"cpu"`` or a CUDA device.
    data_options : DataOptions
        Options of the training data.

    Examples
    --------
    >>> from gradformer_dgl.training.network import build_model
    >>> import dgl
    >>> info = DatasetInfo("rings", "multiclass", "graph", 3, "linear", 2, node_kind="number")
    >>> config = RunConfig(feat_size=8, num_layers=1, num_heads=2)
    >>> predictor = Predictor(info, config, {0: Network(build_model(info, config))})
    >>> graph = dgl.graph(([0, 1], [1, 0]))
    >>> graph.ndata["feat"] = torch.rand(2, 2)
    >>> probabilities = predictor.predict([graph, graph])
    >>> probabilities.shape, bool(probabilities.sum(1).isclose(torch.ones(2)).all())
    (torch.Size([2, 3]), True)
    """

    def __init__(
        self,
        info: DatasetInfo,
        config: RunConfig,
        networks: Mapping[int, Network],
        device: str = "cpu",
        data_options: DataOptions | None = None,
    ) -> None:
        self.info, self.config, self.device = info, config, device
        self.networks = {seed: network.to(device).eval() for seed, network in networks.items()}
        self.members = len(self.networks)
        options = data_options or DataOptions()
        model = next(iter(self.networks.values())).model
        self.fit = FeatureFit(
            info,
            uses_edges=model.reads_edge_features(info.edge_kind),
            node_key=_key(options.given().get("node_features")),
            edge_key=_key(options.given().get("edge_features")),
        )
        self._needs = DistanceNeeds.of(info, config)

    @classmethod
    def from_run(
        cls,
        run: str | os.PathLike[str],
        *others: str | os.PathLike[str],
        seed: int | None = None,
        device: str = "cpu",
        data_root: str | None = None,
        trust: bool = False,
    ) -> "Predictor":
        """Load the weights of a run folder, or of several whose predictions are averaged.

        Parameters
        ----------
        run, *others : path-like
            Folders that ``gradformer-dgl train`` wrote; ``config.yaml`` and ``seed-N/weights.safetensors``
            are enough of each.
        seed : int, optional
            The seed whose weights are taken. Default: all of them.
        device : str
            ``"cpu"``, a CUDA device, or ``"auto"`` for a GPU where there is one.
        data_root : str, optional
            Folder of the training data, for a run of an older version, which does not describe it.
        trust : bool
            Whether Python code that a folder names, ``"module:name"``, may be imported.

        Returns
        -------
        Predictor
            With several runs an :class:`~gradformer_dgl.prediction.ensemble.Ensemble`.

        Raises
        ------
        RunError
            Where a folder is no run folder, has no weights, or no such seed; where the runs predict other
            things, or read other features.
        ConfigError
            Where the device cannot be used, or a folder names Python code and is not trusted.
        """
        device = choose_device(device)
        predictors: dict[str, Predictor] = {}
        for folder in map(Path, (run, *others)):
            if str(folder) in predictors:
                raise RunError(f"{folder} is given twice")
            predictors[str(folder)] = _of_run(folder, seed, device, data_root, trust)
        if not others:
            return predictors[str(Path(run))]
        from gradformer_dgl.prediction.ensemble import Ensemble

        return Ensemble(predictors)

    def predict(
        self,
        graphs: PackedGraphs | GraphDataset | Iterable[Any],
        cache: str | os.PathLike[str] | None = None,
    ) -> Float[Tensor, "items outputs"]:
        """Return the predictions for graphs, averaged over the members.

        Parameters
        ----------
        graphs : PackedGraphs, GraphDataset, or iterable of dgl.DGLGraph
            With the features of the training data; see :meth:`FeatureFit.packed`.
        cache : path-like, optional
            Cache of their distances. Default: they are computed.

        Returns
        -------
        Tensor
            Shape (graphs, outputs), or (nodes, outputs) for a node task, float32: the probability of each
            class (multiclass) or column (binary, multilabel); or the values of a regression, in the unit of
            its targets. A warning names the rows that are NaN or infinite.

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
        outputs = torch.cat(parts).float()
        wrong = (~outputs.isfinite()).any(1).nonzero()[:, 0]
        if len(wrong):
            _logger.warning(
                "%d of %d predictions are not finite (rows %s): look for features far beyond those of the "
                "training data",
                len(wrong),
                len(outputs),
                some_of(wrong.tolist()),
            )
        return outputs

    def distances(self, cache: str | os.PathLike[str] | None = None) -> DistanceSource:
        """Return the source of distances: a cache, or computation."""
        return ComputedDistances() if cache is None else CachedDistances(Path(cache))

    def each_part(
        self, graphs: PackedGraphs, source: DistanceSource, first: int = 0
    ) -> Iterator[Float64[Tensor, "members items outputs"]]:
        """Yield predictions, (members, items, outputs), of some graphs after the other, to bound the memory.

        Graphs have the features that the run reads (:meth:`FeatureFit.fitted`), and ``first`` is the
        number of their first, for the source. The members are the seeds of a run, or the runs of an ensemble.
        """
        for start, stop in _runs(graphs.node_counts, GRAPHS_AT_ONCE, PAIRS_AT_ONCE):
            part = graphs.part(start, stop)
            # Members with the same needs share the distances.
            attach = functools.cache(functools.partial(source.attach, part, first + start))
            yield self._outputs(attach)

    @torch.no_grad()
    def _outputs(
        self, attach: Callable[[DistanceNeeds], PackedGraphs]
    ) -> Float64[Tensor, "members items outputs"]:
        graphs = model_class(self.config).prepare(attach(self._needs), self.config)
        size = EVALUATION_BATCHES * self.config.batch_size
        runs = _runs(graphs.node_counts, size, PAIRS_IN_A_BATCH)
        batches = BatchLoader(graphs, self.device).each([torch.arange(*run) for run in runs])
        with matmul_precision(self.config.precision):
            parts = [
                torch.stack([self._in_units(network, network(batch)) for network in self.networks.values()])
                for batch in batches
            ]
        return torch.cat(parts, dim=1).cpu()

    def _in_units(
        self, network: Network, outputs: Float[Tensor, "items outputs"]
    ) -> Float64[Tensor, "items outputs"]:
        if self.info.task == "regression":
            return network.in_target_units(outputs).double()
        if self.info.task == "multiclass":
            return outputs.double().softmax(1)
        return outputs.double().sigmoid()


def _of_run(folder: Path, seed: int | None, device: str, data_root: str | None, trust: bool) -> Predictor:
    run = open_run(folder, data_root, device=device, trust=trust)
    if run.saved_info is None and data_root is None:
        raise RunError(
            f"{folder / CONFIG} does not say what the data of the run was like, for an older version wrote "
            "it: train it again, or give its data with --data-root"
        )
    if seed is not None:
        run = run.only(seed)
    networks = {number: run.network(number) for number in run.seeds}
    _logger.debug("weights of %s on %s: seeds %s", folder, device, ", ".join(map(str, run.seeds)))
    return Predictor(run.info, run.config, networks, device, run.spec.data_options)


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
