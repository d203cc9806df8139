"""The table of node encodings that depend on structure only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.support.errors import ConfigError

Compute = Callable[[GraphStructures, int, bool], np.ndarray]
MOST_COLUMNS = 1024


def _random_walk(structures: GraphStructures, columns: int, directed: bool) -> np.ndarray:
    from gradformer_dgl.preprocess.random_walks import return_probabilities

    return return_probabilities(structures, columns, directed)


def _laplacian(structures: GraphStructures, columns: int, directed: bool) -> np.ndarray:
    from gradformer_dgl.preprocess.laplacian import laplacian_eigenvectors

    return laplacian_eigenvectors(structures, columns)


def _degree(structures: GraphStructures, columns: int, directed: bool) -> np.ndarray:
    from gradformer_dgl.preprocess.degrees import node_degrees

    return node_degrees(structures, directed)


class Kind(NamedTuple):
    """How a kind is computed, and its number of columns where there is no choice."""

    compute: Compute
    columns: int | None = None


# One line per kind; each function takes (structures, columns, directed) and returns (nodes, columns) float32.
KINDS = {"rwse": Kind(_random_walk), "lappe": Kind(_laplacian), "degree": Kind(_degree, columns=2)}


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
        return KINDS[self.kind].compute(structures, self.columns, directed)


def parse_encodings(names: Iterable[str]) -> tuple[NodeEncoding, ...]:
    """Return the encodings that names such as ``rwse:20``, ``lappe:8`` and ``degree`` stand for.

    Parameters
    ----------
    names : iterable of str
        ``kind:k`` with k columns; for a kind that has one width only, ``kind`` says the same. Repeated names
        count once.

    Returns
    -------
    tuple of NodeEncoding
        In the given order.

    Raises
    ------
    ConfigError
        Where a kind does not exist, or not with k columns.

    Examples
    --------
    >>> [encoding.name for encoding in parse_encodings(["rwse:20", "lappe:8", "degree"])]
    ['rwse:20', 'lappe:8', 'degree:2']
    """
    if isinstance(names, str):
        names = (names,)
    encodings: dict[NodeEncoding, None] = {}
    for name in names:
        kind, _, columns = str(name).partition(":")
        if kind not in KINDS:
            free = sorted(f"{known}:k" for known, (_, only) in KINDS.items() if only is None)
            fixed = sorted(known for known, (_, only) in KINDS.items() if only is not None)
            raise ConfigError(
                f"no encoding {name!r}: there are {', '.join(free)} (k columns, as in rwse:20), "
                f"{', '.join(fixed)}"
            )
        encodings[NodeEncoding(kind, _checked_columns(kind, columns, str(name)))] = None
    return tuple(encodings)


def _checked_columns(kind: str, columns: str, name: str) -> int:
    only = KINDS[kind].columns
    if only is not None:
        if name not in (kind, f"{kind}:{only}"):
            raise ConfigError(f"encoding {name!r} has {only} columns always: write {kind} or {kind}:{only}")
        return only
    if not columns.isdecimal() or not 1 <= int(columns) <= MOST_COLUMNS:
        raise ConfigError(
            f"encoding {name!r} needs its number of columns, 1 to {MOST_COLUMNS}, as in {kind}:20"
        )
    return int(columns)
