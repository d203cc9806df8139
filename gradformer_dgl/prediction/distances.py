"""Where the distances of new graphs come from: computed as they are needed, or read from a cache."""

import copy
from pathlib import Path

import numpy as np
import torch

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.format import SPARSE
from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.graphs.fingerprints import structure_fingerprints
from gradformer_dgl.pairs.distances import PairDistances, in_steps
from gradformer_dgl.pairs.sparse import Distances, SparsePairDistances
from gradformer_dgl.pairs.sparse_checks import MOST_HOPS
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.preprocess.extra_distances import extra_distances
from gradformer_dgl.preprocess.shortest_paths import narrowest_distances
from gradformer_dgl.support.errors import CacheError
from gradformer_dgl.training.config import RunConfig

LARGE = 4096
"""Nodes of a graph from which on only its near pairs are searched, where the model needs no others."""


class DistanceSource:
    """Gives graphs the distances and encodings that a run reads."""

    def attach(self, graphs: PackedGraphs, first: int) -> PackedGraphs:
        """Return the graphs with them; ``first`` is the number of the first graph."""
        raise NotImplementedError

    def finish(self, total: int) -> None:
        """Check what can be checked when all graphs, so many of them, have been seen."""


class ComputedDistances(DistanceSource):
    """Computes what a run reads, as preprocessing did for its training data.

    Parameters
    ----------
    facts : DatasetInfo
        Of the training data.
    config : RunConfig
        Settings of the run.

    Examples
    --------
    >>> import dgl
    >>> facts = DatasetInfo("two", "binary", "graph", 1, "linear", 5)
    >>> path = PackedGraphs.from_graphs([dgl.graph(([0, 1], [1, 2]))])
    >>> ComputedDistances(facts, RunConfig()).attach(path, 0).distances.values.tolist()
    [0, 1, 2, 1, 0, 1, 2, 1, 0]
    """

    def __init__(self, facts: DatasetInfo, config: RunConfig) -> None:
        self._directed, self._max_distance = facts.directed, facts.max_distance
        self._config, self._encodings = config, parse_encodings(config.encodings)

    def attach(self, graphs: PackedGraphs, first: int) -> PackedGraphs:
        """Return the graphs with distances and encodings; ``first`` is the number of the first graph."""
        structures, config = graphs.structures(), self._config
        distances: Distances
        if config.extra_distances:
            computed = extra_distances(structures, config.distance, self._directed, first)
            distances = _of_pairs(in_steps(computed, config.distance_unit)[0], graphs)
        elif self._takes_near_pairs(graphs):
            assert self._max_distance is not None
            distances = SparsePairDistances.from_graph(structures, self._max_distance, self._directed)
        else:
            values = narrowest_distances(structures, self._directed, self._max_distance, first)
            distances = _of_pairs(values, graphs)
        encodings = {one.name: one(structures, self._directed) for one in self._encodings}
        return _attached(graphs, distances, encodings)

    def _takes_near_pairs(self, graphs: PackedGraphs) -> bool:
        """Whether a graph is large, and the model takes pairs beyond a cut-off as if there was no path."""
        fades = self._config.model == "gradformer" and self._config.decay == "exponential"
        near = self._max_distance is not None and self._max_distance <= MOST_HOPS
        return fades and near and max(graphs.node_counts.tolist(), default=0) >= LARGE


class CachedDistances(DistanceSource):
    """Reads what a run needs from a cache of the same graphs, some graphs at a time.

    Parameters
    ----------
    file : Path
        The cache.
    facts : DatasetInfo
        Of the training data.
    config : RunConfig
        Settings of the run.

    Raises
    ------
    CacheError
        Where the file is missing or broken, or made with other options than the cache of the training data.
    """

    def __init__(self, file: Path, facts: DatasetInfo, config: RunConfig) -> None:
        self._cache, self._config = DistanceCache(file), config
        options = (self._cache.directed, self._cache.max_distance)
        if options != (facts.directed, facts.max_distance):
            raise CacheError(
                f"{file} was made with directed={options[0]}, max_distance={options[1]}, but the run with "
                f"directed={facts.directed}, max_distance={facts.max_distance}: preprocess alike, or leave "
                "out the cache"
            )
        self._fingerprints = self._cache.fingerprints()

    def attach(self, graphs: PackedGraphs, first: int) -> PackedGraphs:
        """Return the graphs with distances and encodings; ``first`` is the number of the first graph.

        Raises
        ------
        CacheError
            If the cache is of other graphs; the message names the first that differs.
        """
        cache, config, stop = self._cache, self._config, first + len(graphs)
        prints = structure_fingerprints(graphs.structures(), cache.directed)
        kept = self._fingerprints[first:stop]
        different = prints[: len(kept)] != kept
        if different.any() or len(kept) < len(prints):
            graph = first + int(different.argmax() if different.any() else len(kept))
            raise CacheError(
                f"{cache.path} belongs to other data: graph {graph} differs; preprocess these graphs, or "
                "leave out the cache"
            )
        distances: Distances
        if config.extra_distances:
            found = [cache.extra_distance(config.distance, number).ravel() for number in range(first, stop)]
            values = in_steps(np.concatenate([np.empty(0, np.float32), *found]), config.distance_unit)[0]
            distances = _of_pairs(values, graphs)
        elif cache.layout == SPARSE:
            near = (cache.neighborhood(number) for number in range(first, stop))
            distances = SparsePairDistances.from_neighborhoods(near, cache.max_distance)
        else:
            distances = _of_pairs(cache.read(first, stop), graphs)
        encodings = {}
        for one in parse_encodings(config.encodings):
            rows = [cache.encoding(one.name, number) for number in range(first, stop)]
            encodings[one.name] = np.concatenate([np.empty((0, one.columns), np.float32), *rows])
        return _attached(graphs, distances, encodings)

    def finish(self, total: int) -> None:
        """Check that the cache is of no more graphs.

        Raises
        ------
        CacheError
            If it is.
        """
        if total != len(self._cache):
            raise CacheError(
                f"{self._cache.path} holds {len(self._cache)} graphs, the input {total}: preprocess these "
                "graphs, or leave out the cache"
            )


def _of_pairs(values: np.ndarray, graphs: PackedGraphs) -> PairDistances:
    return PairDistances(torch.from_numpy(values), graphs.node_counts)


def _attached(graphs: PackedGraphs, distances: Distances, encodings: dict[str, np.ndarray]) -> PackedGraphs:
    attached = copy.copy(graphs)
    attached.distances = distances
    attached.encodings = {name: torch.from_numpy(encoding) for name, encoding in encodings.items()}
    return attached
