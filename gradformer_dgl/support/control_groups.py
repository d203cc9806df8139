"""Control groups of Linux, of version 2 or 1: the limits of a container or batch job."""

from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def groups_of(
    controller: str, control_groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP
) -> Iterator[tuple[int, Path]]:
    """Give version and folder of each group of a controller that a process belongs to, from the inner."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, group in [line for line in lines if len(line) == 3]:
        if controllers and controller not in controllers.split(","):
            continue
        version, root = (1, control_groups / controller) if controllers else (2, control_groups)
        own = root / group.lstrip("/")
        for folder in [own, *own.parents]:
            yield version, folder
            # Within a container the root is the container's own group.
            if folder == root:
                break


def numbers_in(file: Path) -> list[int]:
    """Return the whole numbers in a file of a group; none where there is no limit or no file."""
    try:
        return [int(word) for word in file.read_text().split() if word.isdecimal()]
    except OSError:
        return []
