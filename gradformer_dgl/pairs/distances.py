"""Shortest-path distances of all pairs of a batch of graphs, without padding."""

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from jaxtyping import Int, Int64, Integer, UInt
from torch import Tensor

from gradformer_dgl.support.errors import GraphError

_INTEGERS = (torch.uint8, torch.uint16, torch.int8, torch.int16, torch.int32, torch.int64)

BLOCK_PAIRS = 1 << 24
"""Pairs that are looked at together where a copy of all would take much memory."""

_living: WeakValueDictionary[int, "PairDistances"] = WeakValueDictionary()
"""All existing distances, by the identity of their values."""


class PairDistances:
    r"""Distances between all nodes of every graph of a batch, ragged.

    The row-major :math:`n_b \times n_b` matrices of all graphs lie one after the other in one flat
    tensor, which holds :math:`\sum_b n_b^2` values where padding to the largest graph would take
    :math:`B \max_b n_b^2`.

    Parameters
    ----------
    values : Tensor
        Shape (pairs,), uint8 or uint16, in hops. The dtype's maximum (255 or 65535) means unreachable. They
        must not be changed afterwards: results computed from them are kept.
    node_counts : Tensor
        Shape (graphs,), int64: nodes per graph; 0 is allowed. It may lie on the CPU while ``values``
        lie on another device: then nothing ever waits for that device.
    longest : int, optional
        A bound on the finite distances. It sets the width of the table that a decay makes for uint16
        distances; found from the values if not given.

    Raises
    ------
    GraphError
        If dtypes or shapes do not fit, or the counts ask for another number of pairs.

    Examples
    --------
    >>> import torch
    >>> values = torch.tensor([0, 1, 1, 0, 0], dtype=torch.uint8)
    >>> distances = PairDistances(values, node_counts=torch.tensor([2, 1]))
    >>> distances
    PairDistances(graphs=2, nodes=3, pairs=5, dtype=torch.uint8)
    >>> distances.pad(-1)[1].tolist()
    [[0, -1], [-1, -1]]
    """

    def __init__(self, values: Tensor, node_counts: Tensor, longest: int | None = None) -> None:
        for name, given in (("distances", values), ("node_counts", node_counts)):
            if not isinstance(given, Tensor):
                raise GraphError(
                    f"{name} must be a tensor, but is a {type(given).__name__}: torch.as_tensor makes one"
                )
        if values.dtype not in (torch.uint8, torch.uint16):
            raise GraphError(f"distances must be uint8 or uint16, but are {values.dtype}")
        if values.ndim != 1:
            raise GraphError(f"distances must have the shape (pairs,), but have {tuple(values.shape)}")
        if node_counts.ndim != 1:
            raise GraphError(f"node_counts must have the shape (graphs,), but has {tuple(node_counts.shape)}")
        if node_counts.dtype.is_floating_point or node_counts.dtype == torch.bool:
            raise GraphError(f"node_counts must be integers, but is {node_counts.dtype}")
        sizes = node_counts.tolist()
        if sizes and min(sizes) < 0:
            raise GraphError(f"node_counts must not be negative, but holds {min(sizes)}")
        pairs = sum(n * n for n in sizes)
        if pairs != len(values):
            raise GraphError(
                f"{len(sizes)} graphs with these node_counts have {pairs} pairs of nodes, "
                f"but {len(values)} distances are given"
            )
        self._set(values, node_counts.to(values.device, torch.int64), sizes, longest)
        # On another device the check would wait for it.
        if longest is not None and values.device.type == "cpu" and self._found() > longest:
            raise GraphError(f"longest is given as {longest}, but a distance is {self._found()}")

    def _set(self, values: Tensor, node_counts: Tensor, sizes: list[int], longest: int | None) -> None:
        self.values = values
        self.node_counts = node_counts
        self.sizes = sizes
        self.num_nodes = sum(sizes)
        self._longest = longest
        _living[id(values)] = self
        # What attention computes of a batch once for all layers, by name.
        self.plans: dict[Any, Any] = {}

    @classmethod
    def _unchecked(cls, *parts: Any) -> "PairDistances":
        made = object.__new__(cls)
        made._set(*parts)
        return made

    @classmethod
    def of(cls, values: Tensor, node_counts: Tensor) -> "PairDistances":
        """Return the distances that hold these tensors, with their plans; new, unchecked ones if deleted.

        Examples
        --------
        >>> distances = PairDistances(torch.zeros(4, dtype=torch.uint8), torch.tensor([2]))
        >>> PairDistances.of(distances.values, distances.node_counts) is distances
        True
        """
        found = _living.get(id(values))
        # The same values may be those of other graphs.
        if (
            found is not None
            and found.values is values
            and (found.node_counts is node_counts or found.sizes == node_counts.tolist())
        ):
            return found
        return cls._unchecked(values, node_counts, node_counts.tolist(), None)

    @classmethod
    def from_padded(cls, padded: Tensor, node_counts: Tensor) -> "PairDistances":
        """Return the distances of padded matrices.

        Parameters
        ----------
        padded : Tensor
            Shape (graphs, max_nodes, max_nodes), integer, in hops; -1 for unreachable pairs, and in uint8
            and uint16, which have no -1, the dtype's maximum, as in a cache. Padding may hold any values.
        node_counts : Tensor
            Shape (graphs,), int64.

        Returns
        -------
        PairDistances
            uint8 unless a finite distance needs more.

        Raises
        ------
        GraphError
            If shapes or dtype do not fit, or a distance is below -1 or beyond 65534.

        Examples
        --------
        >>> padded = torch.tensor([[[0, -1], [-1, 0]], [[0, -1], [-1, -1]]])
        >>> PairDistances.from_padded(padded, torch.tensor([2, 1])).values.tolist()
        [0, 255, 255, 0, 0]
        """
        if padded.dtype not in _INTEGERS:
            raise GraphError(f"padded distances must be integers, but are {padded.dtype}")
        graphs = len(node_counts)
        if padded.ndim != 3 or padded.shape[0] != graphs or padded.shape[1] != padded.shape[2]:
            raise GraphError(
                f"padded distances of {graphs} graphs must have the shape ({graphs}, N, N), "
                f"but have {tuple(padded.shape)}"
            )
        sizes = node_counts.tolist()
        if sizes and max(sizes) > padded.shape[1]:
            raise GraphError(
                f"the largest graph has {max(sizes)} nodes, but the padded distances have the shape "
                f"{tuple(padded.shape)}"
            )
        real = torch.arange(padded.shape[1], device=padded.device) < node_counts.to(padded.device)[:, None]
        values = with_minus_one(padded)[real[:, :, None] & real[:, None, :]]
        lowest, longest = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        if lowest < -1 or longest > 65534:
            wrong = lowest if lowest < -1 else longest
            raise GraphError(
                f"a distance must be between 0 and 65534, or -1 if unreachable, but one is {wrong}"
            )
        dtype, unreachable = (torch.uint8, 255) if longest < 255 else (torch.uint16, 65535)
        return cls(values.masked_fill(values < 0, unreachable).to(dtype), node_counts)

    @property
    def unreachable(self) -> int:
        """Value of an unreachable pair."""
        return 255 if self.values.dtype == torch.uint8 else 65535

    @property
    def longest(self) -> int:
        """The longest finite distance in hops, or the bound that was given; -1 if no pair is reachable."""
        if self._longest is None:
            self._longest = self._found()
        return self._longest

    def _found(self) -> int:
        if not len(self.values):
            return -1
        # In blocks, for a copy of all takes as much memory again; one more makes an unreachable pair 0.
        blocks = self.values.split(BLOCK_PAIRS)
        if self.device.type == "cpu":
            one = np.ones(1, blocks[0].numpy().dtype)
            return max(int((block.numpy() + one).max()) - 1 for block in blocks)
        # Torch has no sum of uint16.
        tops = [(block.to(torch.int32) + 1).remainder_(self.unreachable + 1).max() for block in blocks]
        return int(torch.stack(tops).max()) - 1

    @property
    def num_distances(self) -> int:
        """Columns that a decay table must have besides that of unreachable pairs.

        255 for uint8, whatever the distances are: the table is then indexed by the values as they are.
        """
        return 255 if self.values.dtype == torch.uint8 else self.longest + 1

    @property
    def offsets(self) -> Int64[Tensor, "graphs_and_one"]:
        """First pair of each graph in ``values``, and the number of pairs, (graphs + 1,)."""
        return torch.cat([self.node_counts.new_zeros(1), self.node_counts.square().cumsum(0)])

    @property
    def nbytes(self) -> int:
        """Bytes of the distances."""
        return self.values.nbytes

    @property
    def device(self) -> torch.device:
        """Device of the distances."""
        return self.values.device

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, graph: int) -> UInt[Tensor, "n n"]:
        """Return the matrix (n, n) of one graph, a view."""
        if not -len(self) <= graph < len(self):
            raise IndexError(f"graph {graph} of {len(self)}")
        graph %= len(self)
        start, size = sum(n * n for n in self.sizes[:graph]), self.sizes[graph]
        return self.values[start : start + size * size].view(size, size)

    def __repr__(self) -> str:
        return (
            f"PairDistances(graphs={len(self)}, nodes={self.num_nodes}, pairs={len(self.values)}, "
            f"dtype={self.values.dtype})"
        )

    def pad(self, fill: int = -1, size: int | None = None) -> Int[Tensor, "graphs n n"]:
        """Return all matrices padded to one size.

        Parameters
        ----------
        fill : int
            Value of unreachable pairs and of padding; -1 is the convention of
            :class:`dgl.nn.SpatialEncoder`.
        size : int, optional
            Rows and columns of the result; those of the largest graph if not given.

        Returns
        -------
        Tensor
            Shape (graphs, size, size), int64.

        Raises
        ------
        GraphError
            If a graph has more than ``size`` nodes.
        """
        largest = max(self.sizes, default=0)
        size = largest if size is None else size
        if size < largest:
            raise GraphError(f"cannot pad to {size} nodes: the largest graph has {largest}")
        real = torch.arange(size, device=self.device) < self.node_counts[:, None]
        padded = torch.full((len(self), size, size), fill, dtype=torch.int64, device=self.device)
        values = self.values.to(torch.int64)
        padded[real[:, :, None] & real[:, None, :]] = values.masked_fill(values == self.unreachable, fill)
        return padded

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PairDistances":
        """Return the same distances on another device."""
        return self._with(
            self.values.to(device, non_blocking=non_blocking),
            self.node_counts.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "PairDistances":
        """Return the same distances in page-locked memory, for asynchronous copies to a GPU."""
        return self._with(self.values.pin_memory(), self.node_counts.pin_memory())

    def selection(self, values: Tensor, node_counts: Tensor) -> "PairDistances":
        """Return the distances ``values`` (pairs,) of some of these graphs, whose matrices the caller chose.

        They are not checked again, and ``longest`` stays that of the whole.
        """
        counts = node_counts.to(values.device)
        return PairDistances._unchecked(values, counts, node_counts.tolist(), self.longest)

    def _with(self, values: Tensor, node_counts: Tensor) -> "PairDistances":
        if values is self.values:
            return self
        return PairDistances._unchecked(values, node_counts, self.sizes, self._longest)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "plans": {}}


def with_minus_one(distances: Integer[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return distances of any dtype as int64, with -1 for unreachable pairs.

    Examples
    --------
    >>> with_minus_one(torch.tensor([1, 255], dtype=torch.uint8)).tolist()
    [1, -1]
    >>> with_minus_one(torch.tensor([-1, 255])).tolist()
    [-1, 255]
    """
    index = distances.long()
    if distances.dtype not in (torch.uint8, torch.uint16):
        return index
    return index.masked_fill(index == torch.iinfo(distances.dtype).max, -1)


def in_steps(distances: np.ndarray, unit: float) -> tuple[np.ndarray, int]:
    """Return distances (pairs,) in whole steps of a unit, the dtype's maximum for no path, and the longest.

    Examples
    --------
    >>> steps, longest = in_steps(np.array([0, 0.6, np.inf]), 0.25)
    >>> steps.tolist(), longest
    ([0, 2, 255], 2)
    """
    finite = np.isfinite(distances)
    longest = int(np.rint(distances[finite].max(initial=0) / unit))
    dtype = np.uint8 if longest < 255 else np.uint16
    no_path = int(np.iinfo(dtype).max)
    if longest >= no_path:
        raise GraphError(f"a distance is {longest} steps of {unit:g}: take a larger unit")
    steps = np.full(len(distances), no_path, dtype)
    steps[finite] = np.rint(distances[finite] / unit)
    return steps, longest
