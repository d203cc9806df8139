"""Encoders of node and edge features, and of node encodings."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError, GraphError

OGB_ATOM_SIZES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
OGB_BOND_SIZES = (5, 6, 2)
"""Categories per column of the features of OGB's molecules, as ogb 1.3.6 has them."""


class LinearEncoder(nn.Module):
    """One linear map of numeric features (one-hot categories included).

    Parameters
    ----------
    in_size, feat_size : int
        Channels in and out.

    Examples
    --------
    >>> LinearEncoder(3, 5)(torch.rand(7, 3)).shape
    torch.Size([7, 5])
    """

    def __init__(self, in_size: int, feat_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_size, feat_size)

    def forward(self, features: Tensor) -> Float[Tensor, "rows channels"]:
        wanted = self.linear.in_features
        if features.ndim != 2 or features.shape[1] != wanted or not features.dtype.is_floating_point:
            raise GraphError(
                f"the linear encoder takes float features of the shape (rows, {wanted}), "
                f"but was given {features.dtype} of the shape {tuple(features.shape)}"
            )
        if features.device.type == "cpu" and bool(features.isnan().any()):
            raise GraphError("features hold NaN; clean the data first")
        return self.linear(features.to(self.linear.weight.dtype))


class EmbeddingEncoder(nn.Module):
    """The sum of one embedding per column of categories.

    Parameters
    ----------
    num_categories : int or sequence of int
        Categories of the one column, or of each.
    feat_size : int
        Channels.
    xavier : bool
        Xavier-uniform initial weights, as OGB's encoders have; standard normal if not.

    Examples
    --------
    >>> EmbeddingEncoder((4, 3), 5)(torch.tensor([[3, 2], [0, 0]])).shape
    torch.Size([2, 5])
    """

    def __init__(self, num_categories: int | Sequence[int], feat_size: int, xavier: bool = False) -> None:
        super().__init__()
        sizes = [num_categories] if isinstance(num_categories, int) else list(num_categories)
        embeddings = [nn.Embedding(size, feat_size) for size in sizes]
        if xavier:
            for embedding in embeddings:
                nn.init.xavier_uniform_(embedding.weight)
        self.embeddings = nn.ModuleList(embeddings)

    def forward(self, features: Tensor) -> Float[Tensor, "rows channels"]:
        if features.dtype.is_floating_point or features.dtype == torch.bool:
            raise GraphError(
                f"the embedding encoder takes integer categories, but was given {features.dtype}"
            )
        # Of no rows torch cannot tell how many columns there are.
        columns = features.long().reshape(len(features), -1 if len(features) else len(self.embeddings))
        if columns.shape[1] != len(self.embeddings):
            raise GraphError(
                f"the embedding encoder takes {len(self.embeddings)} columns of categories, "
                f"but was given {columns.shape[1]}"
            )
        if columns.device.type == "cpu" and len(columns):
            sizes = torch.tensor([embedding.num_embeddings for embedding in self.embeddings])
            wrong = ((columns < 0) | (columns >= sizes)).nonzero()
            if len(wrong):
                row, column = wrong[0].tolist()
                raise GraphError(
                    f"category {int(columns[row, column])} in row {row}, column {column} is not one of the "
                    f"{int(sizes[column])} categories 0 .. {int(sizes[column]) - 1}"
                )
        total = self.embeddings[0](columns[:, 0])
        for column, embedding in enumerate(self.embeddings[1:], start=1):
            total = total + embedding(columns[:, column])
        return total


def _linear(size: Any, feat_size: int) -> nn.Module:
    if not isinstance(size, int) or size < 1:
        raise ConfigError(
            f"a linear encoder needs its number of columns, a positive integer, but was given {size}"
        )
    return LinearEncoder(size, feat_size)


def _embedding(size: Any, feat_size: int) -> nn.Module:
    sizes = [size] if isinstance(size, int) else size
    if not isinstance(sizes, Sequence) or not sizes or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ConfigError(
            f"an embedding encoder needs its number of categories, or one per column, but was given {size}"
        )
    return EmbeddingEncoder(sizes, feat_size)


NODE_ENCODERS: dict[str, Callable[[Any, int], nn.Module]] = {
    "linear": _linear,
    "embedding": _embedding,
    "ogb": lambda size, feat_size: EmbeddingEncoder(OGB_ATOM_SIZES, feat_size, xavier=True),
}
EDGE_ENCODERS: dict[str, Callable[[Any, int], nn.Module]] = {
    "linear": _linear,
    "embedding": _embedding,
    "ogb": lambda size, feat_size: EmbeddingEncoder(OGB_BOND_SIZES, feat_size, xavier=True),
}
"""What makes an encoder of a size (columns or categories) and a number of channels, by name."""


def make_encoder(
    encoders: dict[str, Callable[[Any, int], nn.Module]],
    choice: str | nn.Module,
    size: int | Sequence[int] | None,
    feat_size: int,
) -> nn.Module:
    """Return the encoder of that name, or the module itself.

    Raises
    ------
    ConfigError
        If there is no such name, or the size does not suit it.

    Examples
    --------
    >>> make_encoder(NODE_ENCODERS, "linear", 3, 5)
    LinearEncoder(
      (linear): Linear(in_features=3, out_features=5, bias=True)
    )
    """
    if isinstance(choice, nn.Module):
        return choice
    if choice not in encoders:
        raise ConfigError(
            f"no encoder named {choice!r} (there are {', '.join(encoders)}){suggestion(choice, encoders)}"
        )
    return encoders[choice](size, feat_size)


class StructuralEncoder(nn.Module):
    """A linear map of a node encoding, after an optional batch norm of it.

    Parameters
    ----------
    in_size, feat_size : int
        Columns of the encoding, channels out.
    norm : bool
        Whether to normalise the columns over the nodes of a batch first.

    Examples
    --------
    >>> StructuralEncoder(20, 5, norm=True)(torch.rand(7, 20)).shape
    torch.Size([7, 5])
    """

    def __init__(self, in_size: int, feat_size: int, norm: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(in_size) if norm else None
        self.linear = nn.Linear(in_size, feat_size)

    def normalize(self, encoding: Float[Tensor, "nodes columns"]) -> Float[Tensor, "nodes columns"]:
        """Return the encoding as the linear map is given it, (nodes, columns)."""
        encoding = encoding.to(self.linear.weight.dtype)
        return encoding if self.norm is None else self.norm(encoding)

    def forward(self, encoding: Float[Tensor, "nodes columns"]) -> Float[Tensor, "nodes channels"]:
        return self.linear(self.normalize(encoding))
