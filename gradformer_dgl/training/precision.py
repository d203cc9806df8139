"""Precision of matrix products; parameters, statistics and outputs are float32 in all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def autocast(precision: str, device_type: str) -> torch.autocast:
    """Return a context in which matrix products are bfloat16 where the precision is ``"bf16"``.

    Examples
    --------
    >>> from gradformer_dgl.training.precision import autocast
    >>> with autocast("bf16", "cpu"):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    return torch.autocast(device_type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Let CUDA compute float32 matrix products in TensorFloat-32 where the precision is ``"tf32"``.

    Examples
    --------
    >>> from gradformer_dgl.training.precision import matmul_precision
    >>> with matmul_precision("tf32"):
    ...     torch.backends.cuda.matmul.allow_tf32
    True
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
