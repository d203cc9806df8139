"""Checks of sparse pairs: rows, ids, distances and cut-off have to fit together."""

import numpy as np
import torch
from torch import Tensor

from gradformer_dgl.support.errors import ConfigError, GraphError

MOST_HOPS = 254
"""The largest cut-off: distances are uint8, as in a cache."""


def checked_cutoff(max_distance: int, least: int = 0) -> int:
    """Return a cut-off as an int, if it is one.

    Raises
    ------
    ConfigError
        If it is no whole number, or not between ``least`` and 254.

    Examples
    --------
    >>> checked_cutoff(np.int64(3))
    3
    """
    if isinstance(max_distance, bool) or not isinstance(max_distance, int | np.integer):
        raise ConfigError(f"the cut-off must be a whole number of hops, but is {max_distance!r}")
    if not least <= max_distance <= MOST_HOPS:
        raise ConfigError(f"the cut-off must be between {least} and {MOST_HOPS} hops, but is {max_distance}")
    return int(max_distance)


def check_rows(
    indptr: Tensor, indices: Tensor, distances: Tensor, node_counts: Tensor, max_distance: int
) -> list[int]:
    """Return the sizes of the graphs; see :class:`~gradformer_dgl.SparsePairDistances` for the parameters.

    Raises
    ------
    GraphError
        If dtypes, shapes, ids or distances do not fit together.

    Examples
    --------
    >>> own, hops = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.uint8)
    >>> check_rows(torch.tensor([0, 1]), own, hops, torch.tensor([1]), max_distance=2)
    [1]
    """
    for name, part, dtype in [
        ("indptr", indptr, torch.int64),
        ("indices", indices, torch.int32),
        ("distances", distances, torch.uint8),
        ("node_counts", node_counts, torch.int64),
    ]:
        if part.ndim != 1 or part.dtype != dtype:
            raise GraphError(
                f"{name} must be {dtype} of one dimension, but is {part.dtype} of shape {tuple(part.shape)}"
            )
    places = [str(part.device) for part in (indptr, indices, distances)]
    if len(set(places)) > 1:
        raise GraphError(f"indptr, indices and distances must lie on one device, but lie on {places}")
    sizes = node_counts.tolist()
    nodes = sum(sizes)
    if sizes and min(sizes) < 0:
        raise GraphError(f"node_counts must not be negative, but holds {min(sizes)}")
    if len(indptr) != nodes + 1:
        raise GraphError(f"{nodes} nodes need indptr of length {nodes + 1}, but it has {len(indptr)}")
    if len(indices) != len(distances) or int(indptr[0]) != 0 or int(indptr[-1]) != len(indices):
        raise GraphError(
            f"{len(indices)} ids and {len(distances)} distances do not fit indptr, "
            f"which goes from {int(indptr[0])} to {int(indptr[-1])}"
        )
    per_node = indptr.diff().cpu()
    size_of_node = node_counts.cpu().repeat_interleave(node_counts.cpu())
    impossible = (per_node < 0) | (per_node > size_of_node)
    if bool(impossible.any()):
        node = int(impossible.nonzero()[0])
        raise GraphError(f"node {node} has {int(per_node[node])} sparse pairs, which cannot be")
    if len(indices):
        bound = size_of_node.to(torch.int32).repeat_interleave(per_node).to(indices.device)
        if bool(((indices < 0) | (indices >= bound)).any()):
            raise GraphError("an id is beyond the nodes of its graph")
        if int(distances.max()) > max_distance:
            raise GraphError(f"the cut-off is {max_distance}, but a distance is {int(distances.max())}")
    _check_once(indices, per_node, max(sizes, default=0))
    _check_own(indices, distances, per_node, sizes)
    return sizes


def _check_once(indices: Tensor, per_node: Tensor, largest: int) -> None:
    """Refuse rows that list a node twice: attention would count it twice."""
    row = torch.arange(len(per_node)).repeat_interleave(per_node).to(indices.device)
    pairs = row * largest + indices
    steps = pairs.diff()
    # Rows are in ascending order as a rule: they are sorted only where they are not.
    if bool((steps < 0).any()):
        pairs = pairs.sort().values
        steps = pairs.diff()
    if bool((steps == 0).any()):
        pair = int(pairs[:-1][steps == 0][0])
        raise GraphError(f"node {pair // largest} has its pair with node {pair % largest} twice")


def _check_own(indices: Tensor, distances: Tensor, per_node: Tensor, sizes: list[int]) -> None:
    """Refuse rows without their own node, or with one that is some hops from itself."""
    ids = torch.cat([torch.arange(0), *(torch.arange(size) for size in sizes)])
    ids = ids.to(torch.int32).repeat_interleave(per_node).to(indices.device)
    row = torch.arange(len(per_node)).repeat_interleave(per_node).to(indices.device)
    own = indices == ids
    has = torch.zeros(len(per_node), dtype=torch.bool, device=indices.device)
    has[row[own & (distances == 0)]] = True
    if not bool(has.all()):
        node = int((~has).nonzero()[0])
        raise GraphError(f"node {node} has no pair with itself at the distance 0")
