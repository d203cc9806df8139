"""One layer: message passing beside decay attention, and a feed-forward network."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.attention import packed_decay_attention
from gradformer_dgl.nn.decay import Decay, make_decay
from gradformer_dgl.nn.message_passing import MessagePassing, make_message_passing
from gradformer_dgl.nn.mlp import Perceptron
from gradformer_dgl.nn.norm import sum_of_norms
from gradformer_dgl.nn.registry import DECAYS
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import Distances, SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError


class DecayAttention(nn.Module):
    """Multi-head attention with decay: the projections around :func:`decay_attention`.

    Parameters
    ----------
    feat_size : int
        Channels, divisible by ``num_heads``.
    num_heads : int
        Number of heads.
    attn_drop : float
        Dropout of attention weights.

    Examples
    --------
    >>> import torch
    >>> from gradformer_dgl import ExponentialDecay, PairDistances
    >>> distances = PairDistances(torch.tensor([0, 1, 1, 0], dtype=torch.uint8), torch.tensor([2]))
    >>> table = ExponentialDecay(num_heads=4).table(distances.num_distances)
    >>> DecayAttention(feat_size=16, num_heads=4)(torch.rand(2, 16), distances, table).shape
    torch.Size([2, 16])
    """

    def __init__(self, feat_size: int, num_heads: int, attn_drop: float = 0.0) -> None:
        super().__init__()
        if num_heads < 1 or feat_size % num_heads:
            raise ConfigError(
                f"feat_size must be divisible by num_heads, but {feat_size} is not by {num_heads}"
            )
        self.num_heads = num_heads
        self.attn_drop = _probability(attn_drop, "attn_drop")
        self.qkv = nn.Linear(feat_size, 3 * feat_size)
        self.out = nn.Linear(feat_size, feat_size)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        distances: Distances,
        table: Float[Tensor, "heads columns"],
    ) -> Float[Tensor, "nodes channels"]:
        nodes, channels = x.shape
        projected = self.qkv(x)
        if x.device.type == "cpu":
            # Under autocast too: the kernel there is one of single precision.
            projected = projected.to(x.dtype)
        qkv = projected.view(nodes, 3, self.num_heads, channels // self.num_heads)
        dropout_p = self.attn_drop if self.training else 0.0
        mixed = packed_decay_attention(qkv, distances, table.to(qkv.dtype), dropout_p)
        return self.out(mixed.reshape(nodes, channels))


class GradformerLayer(nn.Module):
    r"""Message passing and exponential-decay attention side by side, then a feed-forward network.

    .. math::

        h_\text{local} &= \mathrm{norm}_1(x + \mathrm{dropout}(\mathrm{mpnn}(x, e))) \\
        h_\text{global} &= \mathrm{norm}_2(x +
            \mathrm{drop\_path}(\mathrm{dropout}(\mathrm{attention}(x)))) \\
        y &= h_\text{local} + h_\text{global} \\
        \text{out} &= \mathrm{norm}_3(y + \mathrm{mlp}(y))

    Parameters
    ----------
    feat_size : int
        Channels, divisible by ``num_heads``.
    num_heads : int
        Number of attention heads.
    message_passing : str, nn.Module, callable or None
        "gin", "gine", "gcn", "gatedgcn", "gatedgcn_gate"; a module, called as ``module(graph, x)`` or
        ``module(graph, x, edge_features)`` if the layer is given edge features; a function that makes
        such a module of the number of channels; or None: attention alone.
    gamma, hop, slope
        See :class:`ExponentialDecay`.
    dropout, attn_drop : float
        Dropout of activations and of attention weights.
    drop_path : float
        Probability for a graph to skip the attention branch in training.
    decay : nn.Module, str or None
        A decay to share among layers, or the name of one; the layer's own exponential decay if None. Options
        that it does not have are refused beside it.
    learn_hop : bool
        Whether the layer's own exponential decay learns its thresholds.
    attention : bool
        False leaves out the attention branch, so that :math:`y = h_\text{local}`: the layer of a message
        passing network, which reads no distances.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Notes
    -----
    Liu et al., "Gradformer: Graph Transformer with Exponential Decay", IJCAI 2024, section 4; the recipe
    of the layer is that of Rampasek et al., "Recipe for a General, Powerful, Scalable Graph
    Transformer", NeurIPS 2022.

    Examples
    --------
    >>> import dgl
    >>> graph = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> padded = torch.tensor([[[0, 1, 2], [1, 0, 1], [2, 1, 0]]])
    >>> GradformerLayer(feat_size=8, num_heads=2)(graph, torch.rand(3, 8), padded).shape
    torch.Size([3, 8])
    """

    def __init__(
        self,
        feat_size: int,
        num_heads: int,
        message_passing: str | nn.Module | Callable[[int], nn.Module] | None = "gin",
        gamma: float = 0.6,
        hop: SupportsFloat | Sequence[float] = 5.0,
        slope: float = 0.0,
        dropout: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        decay: nn.Module | str | None = None,
        learn_hop: bool = True,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if not attention and message_passing is None:
            raise ConfigError("a layer without attention needs message passing: give message_passing")
        self.feat_size = feat_size
        self.attention, self.decay = None, None
        if attention:
            self.attention = DecayAttention(feat_size, num_heads, attn_drop)
            given: dict[str, Any] = {"gamma": gamma, "hop": hop, "slope": slope, "learn_hop": learn_hop}
            if decay is not None:
                # What is as it would be by default has not been asked for.
                default = {option.name: option.default for option in DECAYS["exponential"].options}
                given = {name: value for name, value in given.items() if not _is(value, default[name])}
            self.decay = make_decay(decay or "exponential", num_heads, **given)
        self.message_passing = make_message_passing(message_passing, feat_size)
        self.drop_path = _probability(drop_path, "drop_path")
        self.dropout = nn.Dropout(_probability(dropout, "dropout"))
        self.norm_local = None if self.message_passing is None else nn.BatchNorm1d(feat_size)
        self.norm_global = nn.BatchNorm1d(feat_size) if attention else None
        self.norm_out = nn.BatchNorm1d(feat_size)
        self.mlp = Perceptron(
            nn.Linear(feat_size, 2 * feat_size),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(2 * feat_size, feat_size),
            nn.Dropout(dropout),
        )

    def forward(
        self,
        graph: Graph,
        x: Tensor,
        distances: Distances | Tensor | None,
        edge_features: Tensor | None = None,
        encodings: Tensor | None = None,
        table: Tensor | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        """Run the layer.

        Parameters
        ----------
        graph : dgl.DGLGraph or EdgeList
            One graph, or a batch of graphs.
        x : Tensor
            Shape (nodes, feat_size).
        distances : PairDistances, SparsePairDistances, Tensor or None
            Shortest-path distances of the same graphs; or padded, shape (graphs, N, N), integer, -1 for
            unreachable pairs and padding, as :class:`dgl.nn.SpatialEncoder` has them; (N, N) for one
            graph. None serves a layer without attention.
        edge_features : Tensor, optional
            Shape (edges, feat_size), or what a message passing module of one's own takes.
        encodings : Tensor, optional
            Shape (nodes, columns): for the gate of "gatedgcn_gate".
        table : Tensor, optional
            Shape (heads, D + 1): the decay's table, where it is at hand; made from ``decay`` if not.

        Returns
        -------
        Tensor
            Shape (nodes, feat_size).

        Raises
        ------
        GraphError
            If shapes or types do not fit, or features that the message passing needs are missing.

        Warns
        -----
        UserWarning
            If edge features are given to message passing that takes none.
        """
        if x.ndim != 2 or x.shape != (graph.num_nodes(), self.feat_size):
            raise GraphError(
                f"node features must have the shape ({graph.num_nodes()}, {self.feat_size}) "
                f"(nodes, feat_size), but have {tuple(x.shape)}"
            )
        # Autocast makes products bfloat16; sums of branches, and what is normalised, are not.
        weight = getattr(self.norm_out, "weight", None)
        if weight is not None and x.dtype != weight.dtype:
            if not x.is_floating_point() or x.dtype == torch.float64:
                raise GraphError(
                    f"node features are {x.dtype}, but the layer computes in {weight.dtype}: convert them, "
                    f"x.to({weight.dtype})"
                )
            x = x.to(weight.dtype)
        branches, norms = [], []
        if self.attention is not None and self.norm_global is not None:
            # Not within the call of `append`: where they break a compiled graph, that would be compiled anew.
            attended = self._global(graph, x, distances, table)
            branches.append(attended)
            norms.append(self.norm_global)
        if self.message_passing is not None and self.norm_local is not None:
            passed = self._local(graph, x, edge_features, encodings)
            branches.append(self.dropout(passed))
            norms.append(self.norm_local)
        h = sum_of_norms(x, branches, norms)
        return sum_of_norms(h, [self.mlp(h)], [self.norm_out])

    def _global(
        self, graph: Graph, x: Tensor, distances: Distances | Tensor | None, table: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        if distances is None:
            raise GraphError("attention needs the distances of the graph: pass distances")
        distances = _as_pairs(graph, distances)
        if distances.num_nodes != len(x):
            raise GraphError(
                f"the graph has {len(x)} nodes, but the distances are those of {distances.num_nodes} nodes"
            )
        _require_same_sizes(graph, distances)
        if table is None:
            table = cast(Decay, self.decay).table(distances.num_distances)
        attended = cast(DecayAttention, self.attention)(x, distances, table)
        return self._keep_path(self.dropout(attended), distances)

    def _local(
        self, graph: Graph, x: Tensor, edge_features: Tensor | None, encodings: Tensor | None
    ) -> Tensor:
        module = self.message_passing
        assert module is not None
        if isinstance(module, MessagePassing):
            unused = edge_features is not None and not module.takes_edge_features
            if unused and not torch.compiler.is_compiling():
                name = type(module).__name__
                warnings.warn(f"{name} takes no edge features: those given are not used", stacklevel=3)
            out = module(graph, x, edge_features, encodings)
        else:
            if edge_features is not None and edge_features.is_floating_point():
                edge_features = edge_features.to(x.dtype)
            # DGL's kernels on the CPU know float32 and float64 only.
            with torch.autocast("cpu", enabled=False):
                out = module(graph, x) if edge_features is None else module(graph, x, edge_features)
        if not isinstance(out, Tensor):
            raise GraphError(
                f"message passing must return a tensor of the shape {tuple(x.shape)}, but "
                f"{type(module).__name__} returned a {type(out).__name__}: wrap it in a module that returns "
                "the nodes alone"
            )
        if out.shape != x.shape:
            raise GraphError(
                f"message passing must return the shape {tuple(x.shape)}, "
                f"but {type(module).__name__} returned {tuple(out.shape)}"
            )
        return out

    def _keep_path(
        self, branch: Float[Tensor, "nodes channels"], distances: Distances
    ) -> Float[Tensor, "nodes channels"]:
        if self.drop_path == 0 or not self.training:
            return branch
        keep = 1 - self.drop_path
        stays = branch.new_empty(len(distances), 1).bernoulli_(keep).div_(keep)
        return branch * stays.repeat_interleave(distances.node_counts, dim=0, output_size=len(branch))


def _is(value: Any, default: Any) -> bool:
    return isinstance(value, int | float) and value == default


def _require_same_sizes(graph: Graph, distances: Distances) -> None:
    """Refuse the distances of other graphs, where that takes no waiting for a GPU.

    Of a batch that DGL has as one graph, as some of its transforms leave it, only the nodes are known.
    """
    if torch.compiler.is_compiling() or graph.batch_size == 1:
        return
    counts = graph.batch_num_nodes()
    if counts is distances.node_counts or counts.device.type != "cpu":
        return
    sizes = counts.tolist()
    if sizes != distances.sizes:
        raise GraphError(
            f"the batch has graphs of {_few(sizes)} nodes, but the distances are those of graphs of "
            f"{_few(distances.sizes)} nodes"
        )


def _few(sizes: list[int]) -> str:
    return ", ".join(str(size) for size in sizes[:8]) + (", ..." if len(sizes) > 8 else "")


def _as_pairs(graph: Graph, distances: Any) -> Distances:
    """Return distances as attention takes them; padded ones of a tensor are made ragged."""
    if isinstance(distances, PairDistances | SparsePairDistances):
        return distances
    if not isinstance(distances, Tensor):
        raise GraphError(
            "distances must be PairDistances, SparsePairDistances or an integer tensor, but are a "
            f"{type(distances).__name__}: torch.as_tensor makes a tensor of an array"
        )
    padded = distances[None] if distances.ndim == 2 else distances
    return PairDistances.from_padded(padded, graph.batch_num_nodes().to(torch.int64).cpu())


def _probability(value: float, name: str) -> float:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} must be at least 0 and below 1, but is {value}")
    return float(value)
