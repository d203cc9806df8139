"""The machine that results were made on."""

import platform
import resource
import sys
from pathlib import Path
from typing import Any


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Name of the processor, number of those that may be used, version of torch; ``gpu``, its name, if used.

    Parameters
    ----------
    device : str
        ``"cpu"`` or a CUDA device.

    Examples
    --------
    >>> from gradformer_dgl.experiments.machine import describe_machine
    >>> list(describe_machine())
    ['cpu', 'cores', 'torch']
    """
    import torch

    from gradformer_dgl.training.threads import available_processors

    machine = {"cpu": _processor(), "cores": available_processors(), "torch": torch.__version__}
    return machine if device == "cpu" else machine | {"gpu": torch.cuda.get_device_name(device)}


def peak_memory(device: str = "cpu") -> int:
    """Largest resident set of this process so far, or the most that torch held on a GPU, in bytes.

    Parameters
    ----------
    device : str
        ``"cpu"`` or a CUDA device.

    Examples
    --------
    >>> from gradformer_dgl.experiments.machine import peak_memory
    >>> peak_memory() > 2**20
    True
    """
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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
