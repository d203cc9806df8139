"""Threads of the libraries of one process."""

import math
import os
from pathlib import Path

from gradformer_dgl.support.control_groups import CONTROL_GROUPS, MEMBERSHIP, groups_of, numbers_in


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
    """Return the number of processors that this process may use, by affinity and by its control groups."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([affine, *_quotas(CONTROL_GROUPS, MEMBERSHIP)])


def _quotas(control_groups: Path, membership: Path) -> list[int]:
    """Return the processors that each control group of a process leaves to it, parts of one rounded up."""
    names = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
    quotas = []
    for version, folder in groups_of("cpu", control_groups, membership):
        found = [number for name in names[version] for number in numbers_in(folder / name)]
        # Without a quota the period stands alone.
        if len(found) == 2:
            quotas.append(max(1, math.ceil(found[0] / found[1])))
    return quotas
