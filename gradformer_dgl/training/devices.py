"""Device of a training: CPU or GPU."""

import re

import torch

from gradformer_dgl.support.errors import ConfigError


def choose_device(name: str = "auto") -> str:
    """Return the device to train on, by ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or ``"auto"`` for a GPU if any.

    DGL need not be able to use the GPU: message passing then is torch's.
    """
    if name == "cpu":
        return name
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise ConfigError(f"the device is auto, cpu, cuda or cuda:N, not {name!r}")
    if not torch.cuda.is_available():
        raise ConfigError(f"device {name}: torch {torch.__version__} finds no CUDA GPU here; use cpu")
    if (torch.device(name).index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return name
