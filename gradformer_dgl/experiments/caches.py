"""Caches of distances for experiments, made where they are missing."""

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
    """Preprocess a data set unless its cache is there with all that is needed.

    A cache that lacks something is computed again with its own options too, so that nothing in it is lost.

    Parameters
    ----------
    dataset : GraphDataset
        The graphs.
    file : Path
        The cache.
    encodings : iterable of str
        Names of encodings.
    jobs : int
        Workers.
    progress : bool
        Show a bar on stderr.
    extra_distances : iterable of str
        Names of other distances.

    Returns
    -------
    Path
        The cache.

    Raises
    ------
    CacheError
        Where the file is not a cache, or cannot be written.

    Examples
    --------
    >>> from gradformer_dgl.data import GraphDataset, PackedGraphs
    >>> import tempfile
    >>> import dgl, torch
    >>> graph = dgl.graph(([0, 1], [1, 0]))
    >>> graph.ndata["feat"] = torch.ones(2, 3)
    >>> packed = PackedGraphs.from_graphs([graph], labels=[0])
    >>> data = GraphDataset("one", packed, "multiclass", "graph", 2, "linear", 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ensure_cache(data, Path(folder) / "one.h5", ["rwse:2"]).name
    'one.h5'
    """
    wanted, others = list(encodings), list(extra_distances)
    options: dict[str, Any] = {"encodings": wanted, "extra_distances": others}
    if file.exists():
        cache = DistanceCache(file)
        if {*wanted} <= {*cache.encodings} and {*others} <= {*cache.extra_distances}:
            return file
        options = {
            "encodings": list(dict.fromkeys([*cache.encodings, *wanted])),
            "extra_distances": list(dict.fromkeys([*cache.extra_distances, *others])),
            "directed": cache.directed,
            "max_distance": cache.max_distance,
            "layout": cache.layout,
        }
    preprocess_graphs(dataset.graphs, file, n_jobs=jobs, progress=progress, **options)
    return file
