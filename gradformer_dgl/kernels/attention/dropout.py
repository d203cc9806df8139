"""Dropout of attention weights, drawn from a seed: the backward pass draws the same mask again.

No mask is saved, which would take as much memory as the pairs. Torch's operations draw with
:func:`draw_mask`, the compiled loops of the CPU with the hash of ``dropout_kernel``, and the Triton kernels
with Philox (``fused_triton_kernel._stays``).
"""

import torch
from jaxtyping import Bool
from torch import Tensor


def as_threshold(dropout_p: float) -> int:
    """Return the number below which 32 random bits drop a weight; never all of them do.

    Examples
    --------
    >>> as_threshold(0.5) == 2**31, as_threshold(1 - 1e-15) == 2**32 - 1
    (True, True)
    """
    return min(round(dropout_p * 2**32), 2**32 - 1)


def draw_mask(
    count: int, dropout_p: float, seed: int, device: torch.device
) -> tuple[Bool[Tensor, " count"], float]:
    """Draw a mask of ``count`` weights, with 8 random bits for each where ``dropout_p`` allows, else 16.

    Parameters
    ----------
    count : int
        Number of weights.
    dropout_p : float
        Probability of being dropped, rounded to a multiple of 1 / 65536.
    seed : int
        Equal seeds draw equal masks.
    device : torch.device
        Where to draw.

    Returns
    -------
    tuple of Tensor and float
        Shape (count,), True for a weight that stays; and the factor that keeps the expectation.

    Examples
    --------
    >>> stays, factor = draw_mask(10_000, 0.5, seed=3, device=torch.device("cpu"))
    >>> bool((stays.float().mean() - 0.5).abs() < 0.02), factor
    (True, 2.0)
    """
    few = (dropout_p * 256).is_integer()
    levels, dtype, per_word = (256, torch.uint8, 8) if few else (65536, torch.int16, 4)
    threshold = min(round(dropout_p * levels), levels - 1)
    generator = torch.Generator(device).manual_seed(seed)
    words = torch.empty(-(-count // per_word), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    draws = words.view(dtype)[:count]
    return draws >= (threshold if few else threshold - 32768), levels / (levels - threshold)
