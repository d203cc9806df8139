"""Batch normalisation over the batch of all ranks, on any device."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from gradformer_dgl.kernels.autograd import differentiable_once


def pooled_moments(
    x: Float[Tensor, "rows channels"],
) -> tuple[Float[Tensor, ""], Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Return the number of rows of all ranks, their mean, and their sum of squared deviations from it.

    The rows are (rows, channels); a rank may have none. The results, () and (channels,), are float64. Every
    rank gives the moments about its own mean, which merge without the cancellation of
    :math:`E[x^2] - E[x]^2` (Chan, Golub and LeVeque, 1979).
    """
    mean = x.sum(0, dtype=torch.float64) / max(1, len(x))
    squares = (x - mean.to(x.dtype)).square().sum(0, dtype=torch.float64)
    own = torch.cat([mean.new_full((1,), len(x)), mean, squares])
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    counts, means, squares = torch.stack(parts).split([1, x.shape[1], x.shape[1]], dim=1)
    total = counts.sum().clamp(min=1)
    mean = (counts * means).sum(0) / total
    return total, mean, (squares + counts * (means - mean).square()).sum(0)


class _Standardize(torch.autograd.Function):
    """Subtract the pooled mean and divide by the pooled deviation, both functions of all ranks' rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, total: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        mean, scale = mean.to(x.dtype), scale.to(x.dtype)
        standardized = (x - mean) * scale
        ctx.save_for_backward(standardized, total, scale)
        return standardized

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        standardized, total, scale = ctx.saved_tensors
        parts = [part.sum(0, dtype=torch.float64) for part in (grad, grad * standardized)]
        sums = torch.stack(parts)
        distributed.all_reduce(sums)
        along_mean, along_scale = (sums / total).to(grad.dtype)
        return scale * (grad - along_mean - standardized * along_scale), None, None, None


class SyncBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of (rows, channels) with the statistics of all ranks of the default group.

    Weights and running statistics are those of :class:`torch.nn.BatchNorm1d` by name and value, so that state
    dicts can be exchanged. Ranks may have different numbers of rows, or none. In evaluation nothing is
    communicated. ``torch.nn.SyncBatchNorm`` does the same on CUDA alone.
    """

    def forward(self, x: Tensor) -> Float[Tensor, "rows channels"]:
        if not self.training:
            return super().forward(x)
        exact = x if x.dtype == torch.float64 else x.float()
        total, mean, squares = pooled_moments(exact.detach())
        if self.running_mean is not None and self.running_var is not None:
            self._follow(mean, squares / (total - 1).clamp(min=1))
        scale = (squares / total + self.eps).rsqrt()
        out = _Standardize.apply(exact, total, mean, scale)
        if self.weight is not None:
            out = out * self.weight + self.bias
        return out.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), weight)
        self.running_var.lerp_(variance.to(self.running_var), weight)


def synchronize_norms(module: nn.Module) -> None:
    """Turn every :class:`torch.nn.BatchNorm1d` in a module into a :class:`SyncBatchNorm1d`, in place."""
    for norm in module.modules():
        if type(norm) is nn.BatchNorm1d:
            # Parameters, buffers and hooks stay the very same objects.
            norm.__class__ = SyncBatchNorm1d
