"""Distances of new graphs: computed as they are needed, or read from a cache."""

import copy
import dataclasses
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
"""Nodes from which on only pairs within the cut-off are searched, where the model reads no others."""


@dataclasses.dataclass(frozen=True)
class DistanceNeeds:
    """Distances and encodings that a run reads.

    ``unit`` is the length of a step of the distance. ``fades`` says that the model takes pairs beyond the
    largest distance as if there was no path.
    """

    directed: bool
    max_distance: int | None
    distance: str
    unit: float
    encodings: tuple[str, ...]
    fades: bool

    @classmethod
    def of(cls, info: DatasetInfo, config: RunConfig) -> "DistanceNeeds":
        """Return the needs of a run by its data and settings."""
        return cls(
            info.directed,
            info.max_distance,
            config.distance,
            config.distance_unit,
            config.encodings,
            fades=config.model == "gradformer" and config.decay == "exponential",
        )


class DistanceSource:
    """Base of what gives graphs the distances and encodings that a run reads."""

    def attach(self, graphs: PackedGraphs, first: int, needs: DistanceNeeds) -> PackedGraphs:
        """Return graphs with distances and encodings; ``first`` is the number of the first in the input."""
        raise NotImplementedError

    def finish(self, total: int) -> None:
        """Check what can be checked after the last of so many graphs."""


class ComputedDistances(DistanceSource):
    """Compute distances and encodings, as preprocessing did for the training data."""

    def attach(self, graphs: PackedGraphs, first: int, needs: DistanceNeeds) -> PackedGraphs:
        structures, directed = graphs.structures(), needs.directed
        distances: Distances
        if needs.distance != "shortest_path":
            computed = extra_distances(structures, needs.distance, directed, first)
            distances = _of_pairs(in_steps(computed, needs.unit)[0], graphs)
        elif _sparse_suffices(graphs, needs):
            assert needs.max_distance is not None
            distances = SparsePairDistances.from_graph(structures, needs.max_distance, directed)
        else:
            values = narrowest_distances(structures, directed, needs.max_distance, first)
            distances = _of_pairs(values, graphs)
        encodings = {one.name: one(structures, directed) for one in parse_encodings(needs.encodings)}
        return _attached(graphs, distances, encodings)


def _sparse_suffices(graphs: PackedGraphs, needs: DistanceNeeds) -> bool:
    """Return whether a graph is large, and the model reads no pairs beyond a cut-off."""
    near = needs.max_distance is not None and needs.max_distance <= MOST_HOPS
    return needs.fades and near and max(graphs.node_counts.tolist(), default=0) >= LARGE


class CachedDistances(DistanceSource):
    """Read distances and encodings from a cache of the same graphs, some graphs at a time."""

    def __init__(self, file: Path) -> None:
        self._cache = DistanceCache(file)
        self._fingerprints = self._cache.fingerprints()

    def attach(self, graphs: PackedGraphs, first: int, needs: DistanceNeeds) -> PackedGraphs:
        """Return graphs with distances and encodings; refuse a cache of other graphs or options."""
        cache, stop = self._cache, first + len(graphs)
        options = (cache.directed, cache.max_distance)
        if options != (needs.directed, needs.max_distance):
            raise CacheError(
                f"{cache.path} was made with directed={options[0]}, max_distance={options[1]}, but the run "
                f"with directed={needs.directed}, max_distance={needs.max_distance}: preprocess alike, or "
                "leave out the cache"
            )
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
        if needs.distance != "shortest_path":
            found = [cache.extra_distance(needs.distance, number).ravel() for number in range(first, stop)]
            values = in_steps(np.concatenate([np.empty(0, np.float32), *found]), needs.unit)[0]
            distances = _of_pairs(values, graphs)
        elif cache.layout == SPARSE:
            near = (cache.neighborhood(number) for number in range(first, stop))
            distances = SparsePairDistances.from_neighborhoods(near, cache.max_distance)
        else:
            distances = _of_pairs(cache.read(first, stop), graphs)
        encodings = {}
        for one in parse_encodings(needs.encodings):
            rows = [cache.encoding(one.name, number) for number in range(first, stop)]
            encodings[one.name] = np.concatenate([np.empty((0, one.columns), np.float32), *rows])
        return _attached(graphs, distances, encodings)

    def finish(self, total: int) -> None:
        """Check that the cache has no more graphs."""
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
