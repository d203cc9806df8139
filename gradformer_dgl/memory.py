"""How much memory this process may have."""

import functools
import os
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@functools.cache
def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container or batch job that this process runs in.

    Examples
    --------
    >>> machine_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    True
    """
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits(_CONTROL_GROUPS, _MEMBERSHIP)])


def _limits(control_groups: Path, membership: Path) -> list[int]:
    """Limits of the control groups, of version 2 or 1, that a process belongs to; there may be none."""
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
