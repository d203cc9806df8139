"""The perceptron of the layers: two linear maps and a ReLU between them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from gradformer_dgl.kernels import norm as norm_kernels
from gradformer_dgl.kernels.autograd import apply, differentiable_once, is_bare, loops_take


class PlainPerceptron(torch.autograd.Function):
    """A perceptron without dropout, whose backward pass makes one tensor of hidden channels.

    Each tensor that is made and let go between others leaves a hole in the heap that the next may not fit.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.compiled = loops_take(x)
        if ctx.compiled:
            hidden = x @ w1.t()
            norm_kernels.rectify(hidden.numpy(), b1.detach().numpy())
        else:
            hidden = F.linear(x, w1, b1).relu_()
        ctx.save_for_backward(x, w1, w2, hidden)
        return F.linear(hidden, w2, b2)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, hidden = ctx.saved_tensors
        grad_w2, back = grad.t() @ hidden, grad @ w2
        if ctx.compiled:
            grad_b1 = back.new_empty(back.shape[1])
            norm_kernels.rectify_backward(back.numpy(), hidden.numpy(), grad_b1.numpy())
        else:
            torch.ops.aten.threshold_backward.grad_input(back, hidden, 0, grad_input=back)
            grad_b1 = back.sum(0)
        return back @ w1, back.t() @ x, grad_b1, grad_w2, grad.sum(0)


class Perceptron(nn.Sequential):
    """A linear map, a ReLU and a linear map, with or without dropout after the last two.

    Takes its modules as :class:`torch.nn.Sequential` does, and gives the same in less memory where no
    dropout is drawn and no module has a hook. There its modules are not called one by one, and it is
    differentiable once.

    Examples
    --------
    >>> Perceptron(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 5))(torch.rand(3, 5)).shape
    torch.Size([3, 5])
    """

    def forward(self, x: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows channels_out"]:
        parts = [part for part in self if not (isinstance(part, nn.Dropout) and _is_idle(part))]
        # Autocast casts in each product, and a compiler chooses by itself what to keep.
        if torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling():
            return super().forward(x)
        if x.ndim != 2 or not _is_plain(parts):
            return super().forward(x)
        up, _, down = parts
        return apply(PlainPerceptron, x, up.weight, up.bias, down.weight, down.bias)


def _is_plain(parts: list[nn.Module]) -> bool:
    kinds = [type(part) for part in parts]
    if kinds != [nn.Linear, nn.ReLU, nn.Linear] or not all(is_bare(part) for part in parts):
        return False
    return all(part.bias is not None for part in parts[::2])


def _is_idle(dropout: nn.Dropout) -> bool:
    return dropout.p == 0 or not dropout.training
