"""Memory that this process may have, and the most that it has had."""

import functools
import os
import resource
import sys
from pathlib import Path

from gradformer_dgl.support.control_groups import CONTROL_GROUPS, MEMBERSHIP, groups_of, numbers_in


@functools.cache
def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container or batch job of this process."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits(CONTROL_GROUPS, MEMBERSHIP)])


def peak_memory(device: str = "cpu") -> int:
    """Return the largest resident set of this process, or the most that torch held on a GPU, in bytes."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated(device)
    # Into ru_maxrss Linux counts what the parent held at the fork; VmHWM begins with the program.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _limits(control_groups: Path, membership: Path) -> list[int]:
    """Return the limits of the control groups that a process belongs to."""
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    groups = groups_of("memory", control_groups, membership)
    return [number for version, folder in groups for number in numbers_in(folder / names[version])]
