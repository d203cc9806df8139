"""Batch loader: batches on the device that trains, whether the data set fits there or not."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.batch import GraphBatch

FRACTION_OF_MEMORY = 0.5
"""A data set is kept on a GPU where it takes at most this fraction of the free memory."""
THE_ONLY_GRAPH = torch.tensor([0])
"""The batch of a data set whose nodes are split: it is one graph."""


def fits_on(device: torch.device, num_bytes: int) -> bool:
    """Return whether a data set of so many bytes is to be kept on a device: on the CPU always."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return num_bytes <= FRACTION_OF_MEMORY * free


def batches(indices: Int64[Tensor, " _"], size: int) -> Iterator[Int64[Tensor, " _"]]:
    """Cut graph numbers, (graphs,), into batches; a single graph left over joins the last batch.

    Batch normalisation has no variance to normalise with where a batch is one graph of one node.
    """
    count = max(1, len(indices) // size if len(indices) % size == 1 else math.ceil(len(indices) / size))
    for number in range(count):
        yield indices[number * size : (number + 1) * size if number < count - 1 else len(indices)]


class BatchLoader:
    """Load batches of a data set onto a device.

    Where the data set fits on the device, it is moved there once and batches are cut there, without a copy
    and without waiting. Else they are cut on the CPU, the next one in a thread while one is used, and sent
    from page-locked memory.
    """

    def __init__(self, graphs: PackedGraphs, device: str) -> None:
        self.device = torch.device(device)
        self.is_resident = fits_on(self.device, graphs.num_bytes)
        self.graphs = graphs.to(self.device) if self.is_resident else graphs
        self._only: GraphBatch | None = None

    def batch(self, indices: Tensor) -> GraphBatch:
        """Return a batch of these graphs on the device: the same again where there is but one graph."""
        if self.graphs.splits_nodes:
            self._only = self._only or self._cut(indices)
            return self._only
        return self._cut(indices)

    def _cut(self, indices: Tensor) -> GraphBatch:
        batch = self.graphs.batch(indices)
        if self.is_resident:
            return batch
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=True)

    def each(self, parts: Iterable[Tensor]) -> Iterator[GraphBatch]:
        """Give the batch of each of these lists of graph numbers in turn."""
        if self.is_resident:
            yield from map(self.batch, parts)
            return
        with ThreadPoolExecutor(1) as pool:
            coming: Future[GraphBatch] | None = None
            for part in parts:
                made, coming = coming, pool.submit(self.batch, part)
                if made is not None:
                    yield made.result()
            if coming is not None:
                yield coming.result()
