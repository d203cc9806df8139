"""Caches of experiments, made where they are missing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import GraphDataset
from gradformer_dgl.preprocess import preprocess_graphs


def ensure_cache(
    dataset: GraphDataset,
    file: Path,
    encodings: Iterable[str],
    jobs: int = 1,
    progress: bool = False,
    extra_distances: Iterable[str] = (),
) -> Path:
    """Preprocess a data set unless its cache, ``file``, has all that is needed; return the file.

    A cache that lacks something is computed again, with its own options, and keeps what it has.
    """
    options: dict[str, Any] = {"encodings": list(encodings), "extra_distances": list(extra_distances)}
    if file.exists():
        cache = DistanceCache(file)
        if all(set(names) <= set(getattr(cache, kind)) for kind, names in options.items()):
            return file
        options |= {"directed": cache.directed, "max_distance": cache.max_distance, "layout": cache.layout}
    preprocess_graphs(dataset.graphs, file, n_jobs=jobs, progress=progress, **options)
    return file
