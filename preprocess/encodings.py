"""The table of node encodings that depend on structure only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.errors import ConfigError
from gradformer_dgl.preprocess.structures import GraphStructures

Compute = Callable[[GraphStructures, int, bool], np.ndarray]
MOST_COLUMNS = 1024


def _random_walk(structures: GraphStructures, columns: int, directed: bool) -> np.ndarray:
    from gradformer_dgl.preprocess.random_walks import return_probabilities

    return return_probabilities(structures, columns, directed)


def _laplacian(structures: GraphStructures, columns: int, directed: bool) -> np.ndarray:
    from gradformer_dgl.preprocess.laplacian import laplacian_eigenvectors

    return laplacian_eigenvectors(structures, columns)


# One line per kind; each function takes (structures, columns, directed) and returns (nodes, columns) float32.
KINDS: dict[str, Compute] = {"rwse": _random_walk, "lappe": _laplacian}


@dataclass(frozen=True)
class NodeEncoding:
    """One node encoding of a certain width.

    Parameters
    ----------
    kind : str
        Key of the table of kinds.
    columns : int
        Channels per node.
    """

    kind: str
    columns: int

    @property
    def name(self) -> str:
        """``kind:columns``, as in ``rwse:20``."""
        return f"{self.kind}:{self.columns}"

    def __call__(self, structures: GraphStructures, directed: bool) -> Float32[np.ndarray, "nodes channels"]:
        """Compute it for all nodes of all graphs, one graph after the other."""
        return KINDS[self.kind](structures, self.columns, directed)


def parse_encodings(names: Iterable[str]) -> tuple[NodeEncoding, ...]:
    """Return the encodings that names such as ``rwse:20`` and ``lappe:8`` stand for.

    Parameters
    ----------
    names : iterable of str
        ``kind:k`` with k columns; repeated names count once.

    Returns
    -------
    tuple of NodeEncoding
        In the given order.

    Raises
    ------
    ConfigError
        Where a kind does not exist or k is no positive number.

    Examples
    --------
    >>> [encoding.columns for encoding in parse_encodings(["rwse:20", "lappe:8"])]
    [20, 8]
    """
    if isinstance(names, str):
        names = (names,)
    encodings: dict[NodeEncoding, None] = {}
    for name in names:
        kind, _, columns = str(name).partition(":")
        if kind not in KINDS:
            raise ConfigError(
                f"no encoding {name!r}: there are {', '.join(f'{known}:k' for known in sorted(KINDS))} "
                "(k columns, as in rwse:20)"
            )
        if not columns.isdecimal() or not 1 <= int(columns) <= MOST_COLUMNS:
            raise ConfigError(
                f"encoding {name!r} needs its number of columns, 1 to {MOST_COLUMNS}, as in {kind}:20"
            )
        encodings[NodeEncoding(kind, int(columns))] = None
    return tuple(encodings)
