"""One training shared by several processes, as torchrun starts them."""

import atexit
import contextlib
import dataclasses
import datetime
import gc
import heapq
import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, distributed, nn

from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.training.sync_norm import synchronize_norms

TIMEOUT = datetime.timedelta(minutes=10)
"""Longest wait of a rank for the others."""
SECONDS_TO_REPORT = 2.0
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The processes of one training, seen from one of them; a process alone is the first of one.

    Parameters
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes.

    Examples
    --------
    >>> from gradformer_dgl.training.distributed import Ranks
    >>> costs = torch.tensor([9, 1, 4, 4, 1])
    >>> [Ranks(rank, 2).own_items(costs).tolist() for rank in range(2)]
    [[0, 4], [1, 2, 3]]
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """True in the process that writes and reports."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Return the device of this process: on CUDA the GPU of its number on this machine.

        Raises
        ------
        ConfigError
            Where one GPU is asked for by number, or a machine has fewer GPUs than processes.
        """
        if self.size == 1 or name == "cpu":
            return name
        if name != "cuda":
            raise ConfigError(f"--device {name}: each process takes a GPU of its own; use --device cuda")
        number, there = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if number >= there:
            raise ConfigError(
                f"process {number} of this machine finds {there} GPUs: start one per GPU (--nproc-per-node)"
            )
        torch.cuda.set_device(number)
        return f"cuda:{number}"

    def own_items(self, costs: Int64[Tensor, " items"]) -> Int64[Tensor, " own"]:
        """Return the positions of the items that are this rank's, in ascending order.

        The costliest item first, each goes to the rank that has the least so far. A rank may get none.
        """
        if self.size == 1:
            return torch.arange(len(costs))
        loads = [(0, rank) for rank in range(self.size)]
        own = []
        for position in costs.argsort(descending=True, stable=True).tolist():
            load, rank = heapq.heappop(loads)
            heapq.heappush(loads, (load + int(costs[position]), rank))
            if rank == self.rank:
                own.append(position)
        return torch.tensor(sorted(own), dtype=torch.int64)

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over the ranks, in place; all of them must call this."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def concatenate(self, rows: Shaped[Tensor, "own *columns"]) -> Shaped[Tensor, "rows *columns"]:
        """Return the rows of all ranks, rank after rank."""
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        places = self.sum(counts).tolist()
        whole = rows.new_zeros(sum(places), *rows.shape[1:])
        whole.split(places)[self.rank].copy_(rows)
        return self.sum(whole)

    def from_first(self, make: Callable[[], T]) -> T:
        """Call a function in the first process and return its result in all."""
        if self.size == 1:
            return make()
        result = [make() if self.is_first else None]
        distributed.broadcast_object_list(result, device=torch.device("cpu"))
        return result[0]  # type: ignore[return-value]

    def synchronize_norms(self, network: nn.Module) -> None:
        """Let batch normalisation in a network see the batch of all ranks."""
        if self.size > 1:
            synchronize_norms(network)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return what calls the network and averages its gradients over the ranks."""
        if self.size == 1:
            return network
        with warnings.catch_warnings():
            # The newer name of the option is not known to all versions of torch that serve.
            warnings.simplefilter("ignore", FutureWarning)
            # The statistics of synchronised norms are equal everywhere already.
            return nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)


ALONE = Ranks()
"""A process of its own."""


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun has started, if it has, for the length of a ``with`` block.

    CPU tensors travel by gloo, CUDA tensors by NCCL. All ranks leave the block together. Where one fails,
    all end: the first to fail raises its error and the others leave silently with exit status 1.
    """
    if any(name not in os.environ for name in _VARIABLES) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    # Defaults of its functions are today's group; imported later (by DistributedDataParallel) they would be
    # this training's, whose threads then outlive it and can abort the process as the interpreter ends.
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    ranks = Ranks(rank, size)
    atexit.register(_leave_at_once)
    try:
        # Another process can be lost while this one still connects to it.
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
        yield ranks
        ranks.sum(torch.zeros(1))
    except BaseException as error:
        if _is_lost_connection(error):
            _lost.append(error)
        if not _fails_first(store):
            # Time for the first to report: torchrun ends all as soon as one has left.
            time.sleep(SECONDS_TO_REPORT)
            raise SystemExit(1) from None
        if _is_lost_connection(error):
            raise RunError(
                "another process of this training was lost (killed, out of memory, or out of reach): "
                "resume from the last checkpoint with --resume"
            ) from error
        raise
    # What a training left in cycles would keep the group, and with it threads, beyond the block.
    gc.collect()
    distributed.destroy_process_group()


_lost: list[BaseException] = []


def _leave_at_once() -> None:
    """End a process that has lost another: gloo's threads outlive the group, and can abort a slower end."""
    if _lost:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _fails_first(store: distributed.Store) -> bool:
    try:
        return store.add("failures", 1) == 1
    except RuntimeError:
        # The process that kept the store is gone.
        return False


def _is_lost_connection(error: BaseException) -> bool:
    named = any(name in str(error).casefold() for name in ("gloo", "nccl"))
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and named)
