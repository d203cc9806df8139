"""Registry of distances besides the number of hops."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.checked_call import call_checked
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.support.registry import Part, Registry, is_code, short_repr

# Each is a function of (structures, directed, first_graph) that returns (pairs,) float32 without NaN, in the
# order of the cache. The fact "weighted" (False where not said) is whether it reads edge weights, and
# "directed" (True) whether edges may have a direction.
EXTRA_DISTANCES = Registry(
    "extra distance",
    [
        Part(
            "resistance",
            "gradformer_dgl.preprocess.resistance:resistance_distances",
            "resistance between nodes of an electrical network",
            traits={"directed": False},
        ),
        Part(
            "weighted",
            "gradformer_dgl.preprocess.weighted:weighted_distances",
            "shortest paths over edge weights",
            traits={"weighted": True},
        ),
    ],
)


def extra_distances(
    structures: GraphStructures, name: str, directed: bool = False, first_graph: int = 0
) -> Float32[np.ndarray, "pairs"]:
    """Compute one of the distances of the registry between all pairs of nodes of many graphs.

    The result has shape ``(pairs,)``, row-major matrices one after the other; infinite without a path.
    ``first_graph`` is the number of the first graph, for messages.
    """
    arguments = (structures, directed, first_graph)
    return call_checked(_part(name), arguments, (structures.num_pairs,), f"extra distance {name}")


def parse_extra_distances(names: Iterable[str], directed: bool) -> tuple[tuple[str, ...], bool]:
    """Return the distances that names stand for, each once, and whether edge weights go into them."""
    chosen = tuple(dict.fromkeys((names,) if isinstance(names, str) else names))
    traits = {name: _part(name).traits for name in chosen}
    for name in chosen:
        if directed and not traits[name].get("directed", True):
            raise ConfigError(f"{name} is a distance of undirected graphs: leave out directed (--directed)")
    return chosen, any(of_one.get("weighted", False) for of_one in traits.values())


def _part(name: str) -> Part:
    if name not in EXTRA_DISTANCES and not is_code(name):
        known = ", ".join(sorted(EXTRA_DISTANCES))
        raise ConfigError(
            f"no extra distance {short_repr(name)}: there are {known}, and module:name for one of your own"
        )
    return EXTRA_DISTANCES.part(name)
