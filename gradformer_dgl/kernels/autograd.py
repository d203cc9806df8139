"""Calls of autograd functions, first derivatives only, and tests of what compiled loops take."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn


class _NoContext:
    """Context of a function whose backward pass will not be called."""

    needs_input_grad = ()

    def save_for_backward(self, *tensors: Any) -> None:
        pass


def apply(function: type[torch.autograd.Function], *args: Any) -> Any:
    """Call ``function.apply``, or its forward pass alone where no gradients are recorded.

    Parameters
    ----------
    function : type of torch.autograd.Function
        Keeps what its backward pass needs in attributes and by ``save_for_backward`` alone.
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


class _Once(torch.autograd.Function):
    """Return gradients as functions, without a derivative, of the first ``count`` tensors."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if one is None else one.view_as(one) for one in tensors[count:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError("second derivatives are not available: this function is differentiable once")


class _Read:
    """Context whose saved tensors are read once: a checkpoint does not give them twice."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx
        self.saved_tensors = ctx.saved_tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


def differentiable_once(backward: Callable[..., tuple[Tensor | None, ...]]) -> Callable[..., Any]:
    """Decorate a backward pass so that second derivatives raise an error.

    torch's own decorator returns wrong zeros where the incoming gradient is a constant, as that of a sum is.
    Inputs must be saved as they were given, not as copies, for autograd to know them.

    Examples
    --------
    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     @differentiable_once
    ...     def backward(ctx, grad):
    ...         return (2 * ctx.saved_tensors[0] * grad,)
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> (first,) = torch.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    >>> torch.autograd.grad(first, x)
    Traceback (most recent call last):
    RuntimeError: second derivatives are not available: this function is differentiable once
    """

    @wraps(backward)
    def once(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return backward(ctx, *gradients)
        ctx = _Read(ctx)
        with torch.no_grad():
            found = backward(ctx, *gradients)
        inputs = [one for one in (*ctx.saved_tensors, *gradients) if one is not None and one.requires_grad]
        return _Once.apply(len(inputs), *inputs, *found) if inputs else found

    return once


def is_bare(module: nn.Module) -> bool:
    """Tell whether a module has no hooks, so that a fused pass may replace its call.

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
    """Tell whether compiled loops take a tensor: float32, on the CPU.

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
