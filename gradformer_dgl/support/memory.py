"""Memory that this process may have, and the most that it has had."""

import functools
import os
import resource
import sys
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@functools.cache
def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container or batch job of this process."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits(_CONTROL_GROUPS, _MEMBERSHIP)])


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
    """Return the limits of the control groups, of version 2 or 1, that a process belongs to."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return []
    limits = []
    for _, controllers, group in [line for line in lines if len(line) == 3]:
        if not controllers:
            root, name = control_groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = control_groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = root / group.lstrip("/")
        for folder in [own, *own.parents]:
            limits += _number_in(folder / name)
            # Within a container the root is the container's own group.
            if folder == root:
                break
    return limits


def _number_in(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdecimal() else []
