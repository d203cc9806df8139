"""Interface of the backends of dense decay attention, and their operator in autograd and torch.compile.

In eager mode a backend is a :class:`torch.autograd.Function`. Under :func:`torch.compile` it is a custom
operator, which the compiler does not look into: its passes read numbers of nodes and plan a batch, which no
compiled graph can hold.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gradformer_dgl.kernels.autograd import apply, differentiable_once
from gradformer_dgl.pairs.distances import PairDistances


class Inputs(NamedTuple):
    """Inputs of dense decay attention."""

    qkv: Float[Tensor, "nodes 3 heads head_dim"]
    table: Float[Tensor, "heads columns"]
    distances: PairDistances
    dropout_p: float
    seed: int


@dataclass(frozen=True)
class Backend:
    """The two passes of an implementation of dense decay attention.

    Parameters
    ----------
    name : str
        Its name.
    statistics : callable
        ``statistics(qkv)`` returns empty tensors for what the forward pass saves beside its output.
    attend : callable
        ``attend(inputs, out, *statistics, **options)`` fills the output and the statistics.
    gradients : callable
        ``gradients(grad_out, inputs, by_table, out, *statistics, **options)`` returns the gradients of qkv
        and, with ``by_table``, of the table (None without). Options are integers.
    """

    name: str
    statistics: Callable[[Tensor], list[Tensor]]
    attend: Callable[..., None]
    gradients: Callable[..., tuple[Tensor, Tensor | None]]


_registered: dict[str, Backend] = {}


def register(backend: Backend) -> Backend:
    """Register a backend by its name, by which the custom operator finds it."""
    _registered[backend.name] = backend
    return backend


def run(
    backend: Backend,
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    table: Float[Tensor, "heads columns"],
    distances: PairDistances,
    dropout_p: float,
    seed: int | Tensor,
    **options: int,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute attention by a backend, differentiable once by qkv and table.

    Parameters
    ----------
    backend : Backend
        Registered.
    qkv : Tensor
        Shape (nodes, 3, heads, head_dim): query, key and value, contiguous.
    table : Tensor
        Shape (heads, columns): factor by head and distance, the unreachable last.
    distances : PairDistances
        Of the same nodes.
    dropout_p : float
        Probability for an attention weight to be dropped.
    seed : int or Tensor
        Of the dropout. A tensor of shape (), int64, on the CPU, within a graph of torch.compile.
    **options
        Of the backend.

    Returns
    -------
    Tensor
        Shape (nodes, heads, head_dim), contiguous.
    """
    if not torch.compiler.is_compiling():
        return apply(_Attention, qkv, table, backend, distances, dropout_p, int(seed), options)
    drawn = seed if isinstance(seed, Tensor) else torch.tensor(seed)
    found = _attention(
        qkv,
        table,
        distances.values,
        distances.node_counts,
        drawn,
        dropout_p,
        backend.name,
        ",".join([f"{name}={value}" for name, value in options.items()]),
    )
    return found[0]


class _Attention(torch.autograd.Function):
    """A backend in autograd; saves its inputs, its output and its statistics."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, table: Tensor, backend: Backend, *rest: Any) -> Tensor:
        *batch, options = rest
        out, statistics = _allocate(backend, qkv)
        backend.attend(Inputs(qkv, table, *batch), out, *statistics, **options)
        ctx.save_for_backward(qkv, table, out, *statistics)
        ctx.backend, ctx.batch, ctx.options = backend, batch, options
        return out

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qkv, table, *made = ctx.saved_tensors
        by_table = ctx.needs_input_grad[1]
        inputs = Inputs(qkv, table, *ctx.batch)
        found = ctx.backend.gradients(grad_out, inputs, by_table, *made, **ctx.options)
        return *found, None, None, None, None, None


def _allocate(backend: Backend, qkv: Tensor) -> tuple[Tensor, list[Tensor]]:
    return torch.empty_like(qkv[:, 0], memory_format=torch.contiguous_format), backend.statistics(qkv)


def _parsed(options: str) -> dict[str, int]:
    """Return options from ``name=value,name=value``: an operator takes strings, but no mapping."""
    return {name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", options)}


@torch.library.custom_op(
    "gradformer_dgl::attention",
    mutates_args=(),
    schema="(Tensor qkv, Tensor table, Tensor values, Tensor node_counts, Tensor seed,"
    " float dropout_p, str backend, str options) -> Tensor[]",
)
def _attention(
    qkv: Tensor,
    table: Tensor,
    values: Tensor,
    node_counts: Tensor,
    seed: Tensor,
    dropout_p: float,
    backend: str,
    options: str,
) -> list[Tensor]:
    chosen = _registered[backend]
    out, statistics = _allocate(chosen, qkv)
    inputs = Inputs(qkv, table, PairDistances.of(values, node_counts), dropout_p, int(seed))
    chosen.attend(inputs, out, *statistics, **_parsed(options))
    return [out, *statistics]


@_attention.register_fake
def _(qkv: Tensor, table: Tensor, values: Tensor, node_counts: Tensor, *rest: Any) -> list[Tensor]:
    out, statistics = _allocate(_registered[rest[2]], qkv)
    return [out, *statistics]


@torch.library.custom_op(
    "gradformer_dgl::attention_backward",
    mutates_args=(),
    schema="(Tensor grad_out, Tensor qkv, Tensor table, Tensor values, Tensor node_counts, Tensor seed,"
    " float dropout_p, str backend, str options, Tensor[] made) -> (Tensor, Tensor)",
)
def _attention_backward(
    grad_out: Tensor,
    qkv: Tensor,
    table: Tensor,
    values: Tensor,
    node_counts: Tensor,
    seed: Tensor,
    dropout_p: float,
    backend: str,
    options: str,
    made: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    inputs = Inputs(qkv, table, PairDistances.of(values, node_counts), dropout_p, int(seed))
    grad_qkv, grad_table = _registered[backend].gradients(grad_out, inputs, True, *made, **_parsed(options))
    assert grad_table is not None
    return grad_qkv, grad_table


@_attention_backward.register_fake
def _(grad_out: Tensor, qkv: Tensor, table: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(table)


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.dropout_p, ctx.backend, ctx.options = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.inputs = len(tensors)


def _backward(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    tensors, made = ctx.saved_tensors[: ctx.inputs], list(ctx.saved_tensors[ctx.inputs :])
    settings = (ctx.dropout_p, ctx.backend, ctx.options)
    grad_qkv, grad_table = _attention_backward(grads[0].contiguous(), *tensors, *settings, made)
    return grad_qkv, grad_table, *[None] * 6


_attention.register_autograd(_backward, setup_context=_save)
