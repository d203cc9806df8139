"""Registry of the node encodings that depend on structure only."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.checked_call import call_checked
from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.support.registry import Part, Registry, is_code, short_repr

MOST_COLUMNS = 1024

# Each is a function of (structures, columns, directed) that returns (nodes, columns) float32 without NaN, the
# nodes of all graphs one graph after the other. The fact "columns" is the number of columns where there is no
# choice.
ENCODINGS = Registry(
    "encoding",
    [
        Part("rwse", "gradformer_dgl.preprocess.random_walks:return_probabilities", "random walks"),
        Part("lappe", "gradformer_dgl.preprocess.laplacian:laplacian_eigenvectors", "Laplacian eigenvectors"),
        Part("degree", "gradformer_dgl.preprocess.degrees:node_degrees", "degrees", traits={"columns": 2}),
    ],
)


@dataclass(frozen=True)
class NodeEncoding:
    """One node encoding of a certain width; the kind is a name in the registry or ``module:name``."""

    kind: str
    columns: int

    @property
    def name(self) -> str:
        """``kind:columns``, as in ``rwse:20``."""
        return f"{self.kind}:{self.columns}"

    def __call__(self, structures: GraphStructures, directed: bool) -> Float32[np.ndarray, "nodes channels"]:
        """Compute it for all nodes of all graphs, one graph after the other, shape ``(nodes, columns)``."""
        shape = (int(structures.node_counts.sum()), self.columns)
        arguments = (structures, self.columns, directed)
        return call_checked(ENCODINGS.part(self.kind), arguments, shape, f"encoding {self.name}")


def parse_encodings(names: Iterable[str]) -> tuple[NodeEncoding, ...]:
    """Return the encodings that ``rwse:20``, ``degree``, ``module:name:8`` and the like stand for, each once.

    A number after the last colon is a width, anything else a name.
    """
    if isinstance(names, str):
        names = (names,)
    return tuple(dict.fromkeys(_parsed(str(name)) for name in names))


def _parsed(name: str) -> NodeEncoding:
    kind, _, columns = name.partition(":")
    if kind not in ENCODINGS:
        kind, columns = name, ""
        if not is_code(name):
            kind, _, columns = name.rpartition(":")
        if not is_code(kind):
            known = ENCODINGS.values()
            free = sorted(f"{part.name}:k" for part in known if "columns" not in part.traits)
            fixed = sorted(part.name for part in known if "columns" in part.traits)
            raise ConfigError(
                f"no encoding {short_repr(name)}: there are {', '.join(free)} (k columns, as in rwse:20), "
                f"{', '.join(fixed)}, and module:name or module:name:k for one of your own"
                f"{suggestion(name.partition(':')[0], ENCODINGS)}"
            )
    try:
        only = ENCODINGS.part(kind).traits.get("columns")
    except ConfigError as error:
        raise ConfigError(f"encoding {name}: {error}") from error
    if only is not None:
        if not isinstance(only, int) or not 1 <= only <= MOST_COLUMNS:
            raise ConfigError(f"encoding {kind} has {short_repr(only)} columns, not 1 to {MOST_COLUMNS}")
        if name not in (kind, f"{kind}:{only}"):
            raise ConfigError(f"encoding {name!r} has {only} columns always: write {kind} or {kind}:{only}")
        return NodeEncoding(kind, only)
    if not columns.isdecimal() or not 1 <= int(columns) <= MOST_COLUMNS:
        raise ConfigError(
            f"encoding {name!r} needs its number of columns, 1 to {MOST_COLUMNS}, as in {kind}:20"
        )
    return NodeEncoding(kind, int(columns))
