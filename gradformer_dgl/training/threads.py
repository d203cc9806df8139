"""Threads of the libraries of one process."""

import os


def use_threads(count: int) -> None:
    """Let torch and DGL use a number of threads.

    One thread is the safe choice: results then do not depend on the number of processors, and processes side
    by side do not disturb each other. OpenMP threads wait for their next work in a busy loop; two trainings
    of two threads each on two processors were 12 times slower than one of them alone.
    """
    import dgl
    import torch

    torch.set_num_threads(count)
    dgl.utils.set_num_threads(count)


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
