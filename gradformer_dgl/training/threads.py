"""How many threads the libraries of one process use."""

import os


def keep_waiting_threads_asleep() -> None:
    """Make idle OpenMP threads sleep instead of spin; to be called before torch and DGL are loaded.

    torch and DGL bring an OpenMP runtime each. The threads of one spin for a while after their work, on the
    cores that the other needs: on two cores that makes a training step many times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(count: int) -> None:
    """Let torch and DGL use a number of threads each; 0 leaves them as they are."""
    if count < 1:
        return
    import dgl
    import torch

    torch.set_num_threads(count)
    dgl.utils.set_num_threads(count)


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
