"""The machine that results were made on."""

import platform
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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
