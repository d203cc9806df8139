"""The table of distances besides the number of hops."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.resistance import resistance_distances
from gradformer_dgl.preprocess.weighted import weighted_distances
from gradformer_dgl.support.errors import ConfigError


class Kind(NamedTuple):
    """How a distance is computed, whether edge weights go into it, and whether edges may have a direction."""

    compute: Callable[[GraphStructures, bool, int], np.ndarray]
    weighted: bool
    directed: bool


# One line per distance; each function takes (structures, directed, first_graph).
KINDS = {
    "resistance": Kind(resistance_distances, weighted=False, directed=False),
    "weighted": Kind(weighted_distances, weighted=True, directed=True),
}


def extra_distances(
    structures: GraphStructures, name: str, directed: bool = False, first_graph: int = 0
) -> Float32[np.ndarray, "pairs"]:
    """Compute one of the distances of the table between all pairs of nodes of many graphs.

    Parameters
    ----------
    structures : GraphStructures
        The graphs.
    name : str
        ``"weighted"`` or ``"resistance"``.
    directed : bool
        Follow edges from source to destination only.
    first_graph : int
        Number of the first graph, for messages.

    Returns
    -------
    numpy.ndarray
        Row-major matrices, one after the other, shape ``(pairs,)``; infinite where there is no path.

    Raises
    ------
    ConfigError
        Where there is no such distance, or it does not go with these options.
    GraphError
        Where a graph has edge weights that it does not go with.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import GraphStructures
    >>> triangle = GraphStructures([3], [3], [0, 1, 2], [1, 2, 0], [0.5, 0.5, 4])
    >>> extra_distances(triangle, "weighted").reshape(3, 3)
    array([[0. , 0.5, 1. ],
           [0.5, 0. , 0.5],
           [1. , 0.5, 0. ]], dtype=float32)
    """
    if name not in KINDS:
        raise ConfigError(f"no extra distance {name!r}: there are {', '.join(sorted(KINDS))}")
    return KINDS[name].compute(structures, directed, first_graph)
