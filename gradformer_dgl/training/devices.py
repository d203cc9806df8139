"""Which device a run can use."""

import torch

from gradformer_dgl.errors import ConfigError


def dgl_runs_on_cuda() -> bool:
    """Whether the installed DGL was built with CUDA and finds a GPU."""
    if not torch.cuda.is_available():
        return False
    import dgl

    try:
        dgl.graph(([0], [0])).to("cuda")
    except dgl.DGLError:
        return False
    return True


def choose_device(name: str = "auto") -> str:
    """Return the device to train on.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or ``"auto"`` for a GPU where both torch and DGL can use one.

    Raises
    ------
    ConfigError
        Where the device asked for cannot be used.

    Examples
    --------
    >>> from gradformer_dgl.training.devices import choose_device
    >>> choose_device("cpu")
    'cpu'
    """
    if name == "cpu":
        return name
    if name == "auto":
        return "cuda" if dgl_runs_on_cuda() else "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            f"--device {name}: torch {torch.__version__} finds no CUDA GPU here; use --device cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name} is no device: write cuda or cuda:0") from None
    if (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    if not dgl_runs_on_cuda():
        raise ConfigError(
            f"--device {name}: the installed DGL is a CPU build; environment.yml has one with CUDA, "
            "or use --device cpu"
        )
    return name
