"""How functions with a backward pass of their own are called, and which modules they may stand for."""

from typing import Any

import torch
from torch import Tensor, nn


class _NoContext:
    """Stands for the context of a function whose backward pass will not be called."""

    needs_input_grad = ()

    def save_for_backward(self, *tensors: Any) -> None:
        pass


def apply(function: type[torch.autograd.Function], *args: Any) -> Any:
    """Return what ``function.apply`` returns; without gradients, at the cost of the computation alone.

    Parameters
    ----------
    function : type of torch.autograd.Function
        One that keeps what its backward pass needs in attributes and by ``save_for_backward`` alone.
    *args
        Of its forward pass.

    Examples
    --------
    >>> class Double(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 2 * x
    >>> with torch.no_grad():
    ...     apply(Double, torch.tensor(3.0))
    tensor(6.)
    """
    if torch.is_grad_enabled():
        return function.apply(*args)
    return function.forward(_NoContext(), *args)


def is_bare(module: nn.Module) -> bool:
    """Whether a call of a module is its forward pass alone: a hook may read it, or set its weights before.

    Examples
    --------
    >>> from torch.nn.utils import prune
    >>> is_bare(nn.Linear(2, 2)), is_bare(prune.l1_unstructured(nn.Linear(2, 2), "weight", 1))
    (True, False)
    """
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def loops_take(x: Tensor) -> bool:
    """Whether compiled loops take a tensor: of single precision, on the CPU.

    Examples
    --------
    >>> loops_take(torch.ones(2)), loops_take(torch.ones(2).double())
    (True, False)
    """
    return x.dtype == torch.float32 and x.device.type == "cpu"


def arrays(*tensors: Tensor) -> list[Any]:
    """Return tensors as NumPy arrays in the same memory, for compiled loops.

    Examples
    --------
    >>> arrays(nn.Parameter(torch.ones(2)))
    [array([1., 1.], dtype=float32)]
    """
    return [tensor.detach().numpy() for tensor in tensors]
