"""Selection of the rows of some graphs from the flat tensor of many."""

from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor

from gradformer_dgl.pairs.ragged_rows_kernel import copy_runs, shift_runs


def starts_of(counts: Int64[Tensor, " graphs"]) -> Int64[Tensor, " graphs"]:
    """Return the first row of each graph, where those of all graphs lie one after the other.

    Examples
    --------
    >>> starts_of(torch.tensor([3, 0, 2])).tolist()
    [0, 3, 3]
    """
    return counts.cumsum(0) - counts


class Rows:
    """Rows of some graphs, in the order asked for.

    On the CPU they are copied run by run in compiled loops; on another device they are gathered by index,
    without waiting for that device.

    Parameters
    ----------
    starts : Tensor
        Shape (graphs,), int64, on the CPU: the first row of each graph.
    counts : Tensor
        Shape (graphs,), int64, on the CPU: its number of rows.
    device : torch.device
        Device of the tensors.

    Examples
    --------
    >>> rows = Rows(torch.tensor([5, 0]), torch.tensor([2, 3]), torch.device("cpu"))
    >>> rows.take(torch.arange(10, 20)).tolist()
    [15, 16, 10, 11, 12]
    >>> rows.take_shifted(torch.arange(10, 20, dtype=torch.int32), torch.tensor([0, 100])).tolist()
    [15, 16, 110, 111, 112]
    >>> rows.index.tolist()
    [5, 6, 0, 1, 2]
    """

    def __init__(
        self, starts: Int64[Tensor, " graphs"], counts: Int64[Tensor, " graphs"], device: torch.device
    ) -> None:
        self.starts, self.host_counts, self.device = starts, counts, device
        self.gathers = device.type != "cpu"
        self.total = int(counts.sum())
        self.counts = counts.to(device, non_blocking=True)

    def take(self, values: Shaped[Tensor, "all_rows *columns"]) -> Shaped[Tensor, "rows *columns"]:
        """Return these rows of a tensor (all_rows, ...)."""
        if self.gathers:
            return _gathered(values, self.index)
        taken = values.new_empty((self.total, *values.shape[1:]))
        # As bytes, one compiled function serves all dtypes.
        width = values[:1].nbytes if len(values) else 0
        copy_runs(
            _bytes(values), (self.starts * width).numpy(), (self.host_counts * width).numpy(), _bytes(taken)
        )
        return taken

    def take_shifted(
        self, ids: Int32[Tensor, " all_rows"], shifts: Int64[Tensor, " graphs"]
    ) -> Int64[Tensor, " rows"]:
        """Return these rows of a tensor of ids (all_rows,), plus a number for each graph (on the CPU)."""
        if self.gathers:
            return ids.index_select(0, self.index) + self._broadcast(shifts)
        taken = torch.empty(self.total, dtype=torch.int64)
        shift_runs(ids.numpy(), self.starts.numpy(), self.host_counts.numpy(), shifts.numpy(), taken.numpy())
        return taken

    @cached_property
    def index(self) -> Int64[Tensor, " rows"]:
        """Indices of the rows, (rows,)."""
        first = self._broadcast(self.starts - starts_of(self.host_counts))
        return first.add_(torch.arange(self.total, device=self.device))

    def _broadcast(self, per_graph: Tensor) -> Tensor:
        moved = per_graph.to(self.device, non_blocking=True)
        return torch.repeat_interleave(moved, self.counts, output_size=self.total)


def _gathered(values: Tensor, index: Tensor) -> Tensor:
    if values.dtype == torch.uint16:
        # torch gathers no uint16
        return values.view(torch.int16).index_select(0, index).view(torch.uint16)
    return values.index_select(0, index)


def _bytes(values: Tensor) -> np.ndarray:
    return values.detach().contiguous().flatten().view(torch.uint8).numpy()
