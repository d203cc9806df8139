"""Batch norms of the branches of a layer, each beside the residual, and their sum."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.kernels import norm as norm_kernels
from gradformer_dgl.kernels.autograd import apply, arrays, differentiable_once, is_bare, loops_take


def sum_of_norms(
    x: Float[Tensor, "nodes channels"],
    branches: Sequence[Float[Tensor, "nodes channels"]],
    norms: Sequence[nn.BatchNorm1d],
) -> Float[Tensor, "nodes channels"]:
    r"""Return :math:`\sum_k \mathrm{norm}_k(x + b_k)`.

    In single precision on the CPU this is one compiled function, which keeps neither the sums nor what is
    normalised, and is differentiable once. Norms of other kinds, or with hooks, are called.

    Parameters
    ----------
    x : Tensor
        Shape (nodes, channels).
    branches : sequence of Tensor
        One or more, of the same shape.
    norms : sequence of nn.BatchNorm1d
        One for each branch; in training they follow the statistics, as they do when called.

    Returns
    -------
    Tensor
        Shape (nodes, channels).

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0], [3.0]])
    >>> sum_of_norms(x, [x], [nn.BatchNorm1d(1)]).flatten().detach()
    tensor([-1.2247,  0.0000,  1.2247])
    """
    if _suits(x, branches, norms):
        parameters = [part for norm in norms for part in (norm.weight, norm.bias)]
        return apply(_SumOfNorms, norms, *(part.contiguous() for part in (x, *branches)), *parameters)
    out = norms[0](x + branches[0])
    for branch, norm in zip(branches[1:], norms[1:], strict=True):
        out = out + norm(x + branch)
    return out


@contextlib.contextmanager
def running_statistics(network: nn.Module) -> Iterator[None]:
    """Let the batch norms of a network normalise as in evaluation: one row has no variance to train with."""
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d) and part.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True


def _suits(x: Tensor, branches: Sequence[Tensor], norms: Sequence[nn.BatchNorm1d]) -> bool:
    """Return whether the compiled loops take all of it; torch's own norms take, or refuse, the rest."""
    return (
        x.ndim == 2
        and x.shape[0] > 1
        and all(loops_take(part) and part.shape == x.shape for part in (x, *branches))
        and all(type(norm) is nn.BatchNorm1d and is_bare(norm) for norm in norms)
        and all(norm.affine and norm.track_running_stats for norm in norms)
        and all(loops_take(norm.weight) and norm.num_features == x.shape[1] for norm in norms)
        # In evaluation the gradient is another one.
        and (all(norm.training for norm in norms) or not torch.is_grad_enabled())
        and not torch.compiler.is_compiling()
    )


class _SumOfNorms(torch.autograd.Function):
    """Norms in autograd; saves its inputs and four numbers a channel and branch."""

    @staticmethod
    def forward(ctx: Any, norms: Sequence[nn.BatchNorm1d], x: Tensor, *given: Tensor) -> Tensor:
        branches = given[: len(norms)]
        out, stats = torch.empty_like(x), x.new_empty(len(norms), 4, x.shape[1])
        for k, (norm, branch) in enumerate(zip(norms, branches, strict=True)):
            running = cast(tuple[Tensor, Tensor], (norm.running_mean, norm.running_var))
            taken = arrays(x, branch, stats[k], norm.weight, norm.bias, *running)
            share = _share(norm) if norm.training else -1.0
            norm_kernels.normalize(*taken, norm.eps, share, out.numpy(), k > 0)
        ctx.save_for_backward(x, stats, *given)
        return out

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, stats, *given = ctx.saved_tensors
        branches = given[: len(stats)]
        grad, grad_x = grad.contiguous(), torch.empty_like(x)
        of_branches: list[Tensor] = []
        of_parameters: list[Tensor] = []
        for k, branch in enumerate(branches):
            found = torch.empty_like(x), x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
            norm_kernels.normalize_backward(*arrays(x, branch, stats[k], grad, grad_x, *found), k > 0)
            of_branches.append(found[0])
            of_parameters.extend(found[1:])
        return None, grad_x, *of_branches, *of_parameters


def _share(norm: nn.BatchNorm1d) -> float:
    """Count a batch, and return its share in the running statistics."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
