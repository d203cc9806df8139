"""Linear model of Weisfeiler-Leman labels: the baseline that has no network."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.wl_labels import common_labels, with_wl_labels
from gradformer_dgl.models.base import DataSizes, GraphModel, encoding_of
from gradformer_dgl.nn.registry import READOUTS
from gradformer_dgl.support.errors import ConfigError, GraphError


class WLModel(GraphModel):
    """Linear model of the Weisfeiler-Leman (WL) labels of the nodes.

    Each known label has a weight for each output. With the sum as readout, the outputs of a graph are linear
    in how often each label occurs: the features of the WL subtree kernel. With counted labels they are those
    of the WL optimal assignment kernel. All weights begin at 0. A label that is not known adds nothing.

    Parameters
    ----------
    known : sequence of Tensor
        The labels that have weights, for each round of refinement: int64 hashes in ascending order, from
        :func:`gradformer_dgl.data.wl_labels.common_labels`.
    out_size : int
        Outputs per graph (or per node).
    dropout : float
        Chance that a label of a node is left out in training.
    readout : str or None
        How nodes make a graph; None for one output per node.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Notes
    -----
    Shervashidze et al., "Weisfeiler-Lehman Graph Kernels", JMLR 12 (2011), section 3.2. Kriege, Giscard,
    Wilson, "On valid optimal assignment kernels and applications to graph classification", NeurIPS 2016.

    Examples
    --------
    >>> import dgl
    >>> model = WLModel([torch.tensor([3, 8]), torch.tensor([5])], out_size=4)
    >>> batch = GraphBatch(dgl.rand_graph(2, 1), encodings={"wl:2": torch.tensor([[8, 5], [7, 9]])})
    >>> model(batch).shape
    torch.Size([1, 4])
    """

    known: Int64[Tensor, " labels"]
    rounds: Int64[Tensor, " rounds"]

    def __init__(
        self,
        known: Sequence[Int64[Tensor, " _"]],
        out_size: int,
        dropout: float = 0.0,
        readout: str | None = "sum",
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"wl_dropout must be at least 0 and below 1, but is {dropout}")
        self.sizes = [len(labels) for labels in known]
        self.dropout = dropout
        self.readout = None if readout is None else READOUTS.load(readout)
        self.register_buffer("known", torch.cat(list(known)))
        # So that saved weights tell which labels are of which round.
        self.register_buffer("rounds", torch.tensor(self.sizes, dtype=torch.int64))
        self.weight = nn.Parameter(torch.zeros(sum(self.sizes), out_size))
        self.bias = nn.Parameter(torch.zeros(out_size))

    @classmethod
    def from_settings(cls, data: DataSizes, settings: Mapping[str, Any], **fitted: Any) -> "WLModel":
        """Return the model of a run; ``fitted`` has the known labels."""
        readout = None if data.level == "node" else settings["readout"]
        return cls(**fitted, out_size=data.out_size, dropout=settings["wl_dropout"], readout=readout)

    @classmethod
    def prepare(cls, graphs: PackedGraphs, settings: Mapping[str, Any]) -> PackedGraphs:
        """Return the graphs with their labels as the encoding ``"wl:R"``, (nodes, R) for R rounds."""
        counted = settings["wl_counted"] and graphs.label_level != "node"
        return with_wl_labels(graphs, settings["wl_rounds"], counted)

    @classmethod
    def fit(
        cls, graphs: PackedGraphs, settings: Mapping[str, Any], training: Int64[Tensor, " chosen"]
    ) -> dict[str, Any]:
        """Return the labels that occur in enough of the training graphs."""
        labels = graphs.encodings[f"wl:{settings['wl_rounds']}"]
        return {"known": common_labels(labels, graphs.node_counts, training, settings["wl_min_graphs"])}

    @classmethod
    def fitted(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the known labels of saved weights.

        Raises
        ------
        GraphError
            If the weights do not tell which labels are of which round.
        """
        known, rounds = tensors.get("known"), tensors.get("rounds")
        if known is None or rounds is None or int(rounds.sum()) != len(known):
            raise GraphError("the saved weights do not tell which labels are of which round")
        return {"known": list(known.split(rounds.tolist()))}

    def reads_edge_features(self, kind: str | None) -> bool:
        """Return whether labels depend on edge features of a kind, which categories do."""
        return kind in ("flag", "category")

    def forward(self, batch: GraphBatch) -> Float[Tensor, "rows out"]:
        """Return the outputs of a batch.

        Parameters
        ----------
        batch : GraphBatch
            With the labels as the encoding ``"wl:R"``, shape (nodes, R), int64.

        Returns
        -------
        Tensor
            Shape (graphs, out_size), or (nodes, out_size) without a readout.

        Raises
        ------
        GraphError
            If the batch lacks the labels, or has another number of rounds.
        """
        out = self._of_nodes(encoding_of(batch, f"wl:{len(self.sizes)}"))
        if self.readout is not None:
            out = self.readout(out, batch.node_counts)
        return out + self.bias

    def _of_nodes(self, labels: Int64[Tensor, "nodes rounds"]) -> Float[Tensor, "nodes out"]:
        if labels.ndim != 2 or labels.shape[1] != len(self.sizes):
            raise GraphError(
                f"labels must have the shape (nodes, {len(self.sizes)}), but have {tuple(labels.shape)}"
            )
        rows, is_known, start = [], [], 0
        for column, known in zip(labels.T.contiguous(), self.known.split(self.sizes), strict=True):
            if not len(known):
                continue
            row = torch.searchsorted(known, column).clamp_(max=len(known) - 1)
            rows.append(row + start)
            is_known.append(known[row] == column)
            start += len(known)
        if not rows:
            return self.weight.new_zeros(len(labels), self.weight.shape[1])
        kept = functional.dropout(torch.stack(is_known, 1).to(self.weight.dtype), self.dropout, self.training)
        return functional.embedding_bag(
            torch.stack(rows, 1), self.weight, mode="sum", per_sample_weights=kept
        )
