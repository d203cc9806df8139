"""The machine that results were made on."""

import platform
import resource
import sys
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Name of the processor, number of those that may be used, and version of torch.

    Examples
    --------
    >>> from gradformer_dgl.experiments.machine import describe_machine
    >>> list(describe_machine())
    ['cpu', 'cores', 'torch']
    """
    import torch

    from gradformer_dgl.training.threads import available_processors

    return {"cpu": _processor(), "cores": available_processors(), "torch": torch.__version__}


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes.

    Examples
    --------
    >>> from gradformer_dgl.experiments.machine import peak_memory
    >>> peak_memory() > 2**20
    True
    """
    # Into ru_maxrss Linux counts what the parent held at the fork; VmHWM begins with the program.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
