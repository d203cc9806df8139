"""The cache that is at the target already: whether it will do, and what of it the new one has to keep."""

import dataclasses
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.cache_file import BrokenCacheError, ForeignFileError
from gradformer_dgl.cache.format import DENSE
from gradformer_dgl.cache.writer import CachePlan
from gradformer_dgl.graphs.fingerprints import structure_fingerprints, weight_fingerprints
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.encodings import parse_encodings
from gradformer_dgl.preprocess.extra_distances import parse_extra_distances
from gradformer_dgl.support.errors import CacheError, ConfigError, GraphError

logger = logging.getLogger("gradformer_dgl")

# Graphs piece by piece, with edge weights or without.
Pieces = Callable[[bool], Iterable[GraphStructures]]


@dataclasses.dataclass(frozen=True)
class PresentCache:
    """A cache at the target, open where its header is sound."""

    path: Path
    cache: DistanceCache | None

    @classmethod
    def find(cls, path: Path) -> "PresentCache | None":
        """Return what is at ``path``; an error where that must not be replaced or cannot be read."""
        if path.is_dir():
            raise CacheError(f"{path} is a folder: give the name of a file in it")
        if not path.exists():
            return None
        if not path.is_file():
            # A device or a pipe would be replaced by the file, for whatever else on the machine uses it.
            raise ForeignFileError(f"{path} is no file but a device or a pipe: choose another path")
        if not path.stat().st_size:
            return None
        try:
            return cls(path, DistanceCache(path))
        except BrokenCacheError:
            logger.warning("%s is broken and will be replaced; what else it held cannot be told", path)
            return cls(path, None)

    def will_do(self, plan: CachePlan, pieces: Pieces) -> bool:
        """Return whether the cache is whole, of these graphs, and made with these options, or more."""
        cache = self.cache
        if cache is None or not self._has_options(plan):
            return False
        try:
            if not self._holds(pieces, weights=plan.weighted):
                return False
            cache.verify()
        except BrokenCacheError:
            logger.warning("%s is broken and will be replaced", self.path)
            return False
        return True

    def _has_options(self, plan: CachePlan) -> bool:
        cache = self.cache
        return (
            cache is not None
            and (cache.layout, cache.directed, cache.max_distance)
            == (plan.layout, plan.directed, plan.max_distance)
            and set(plan.encodings) <= set(cache.encodings)
            and set(plan.extra_distances) <= set(cache.extra_distances)
        )

    def lacking(self, plan: CachePlan, pieces: Pieces | None) -> tuple[list[str], list[str]]:
        """Return encodings and extra distances that the cache has of the same graphs and the plan has not.

        Without ``pieces`` the graphs cannot be compared. What the new file cannot keep is said in a warning.
        """
        cache = self.cache
        if cache is None:
            return [], []
        encodings = [name for name in cache.encodings if name not in plan.encodings]
        extra = [name for name in cache.extra_distances if name not in plan.extra_distances]
        if not encodings and not extra:
            return [], []
        if pieces is not None and not self._may_hold(pieces):
            return [], []
        kept: tuple[list[str], list[str]] = [], []
        if pieces is not None:
            kept = (
                [name for name in encodings if _is_known(parse_encodings, [name])],
                [name for name in extra if self._can_be_kept(name, plan, pieces)],
            )
        lost = [name for name in encodings + extra if name not in kept[0] + kept[1]]
        if lost:
            logger.warning("%s will be replaced by a file without its %s", self.path, ", ".join(lost))
        return kept

    def _can_be_kept(self, name: str, plan: CachePlan, pieces: Pieces) -> bool:
        """Return whether an extra distance can be computed for a new file."""
        if plan.layout != DENSE or not _is_known(parse_extra_distances, [name], plan.directed):
            return False
        _, weighted = parse_extra_distances([name], plan.directed)
        return not weighted or self._has_weights(pieces)

    def _may_hold(self, pieces: Pieces) -> bool:
        """Return whether the cache is of these graphs, or has fingerprints that are broken."""
        try:
            return self._holds(pieces)
        except BrokenCacheError:
            return True

    def _has_weights(self, pieces: Pieces) -> bool:
        """Return whether the cache has the edge weights of these graphs."""
        assert self.cache is not None
        try:
            return self.cache.weighted and self._holds(pieces, structure=False, weights=True)
        except (BrokenCacheError, GraphError):
            return False

    def _holds(self, pieces: Pieces, structure: bool = True, weights: bool = False) -> bool:
        """Return whether the fingerprints are those of the graphs; stops at the first piece that differs."""
        cache = self.cache
        assert cache is not None
        kinds: list[tuple[np.ndarray, Callable[[GraphStructures, bool], np.ndarray]]] = []
        if structure:
            kinds.append((cache.fingerprints(), structure_fingerprints))
        if weights:
            kinds.append((cache.weight_fingerprints(), weight_fingerprints))
        start = 0
        for piece in pieces(weights):
            stop = start + len(piece)
            if not all(np.array_equal(prints[start:stop], of(piece, cache.directed)) for prints, of in kinds):
                return False
            start = stop
        return start == len(cache)


def _is_known(parse: Callable[..., Any], *arguments: Any) -> bool:
    try:
        parse(*arguments)
    except ConfigError:
        return False
    return True
