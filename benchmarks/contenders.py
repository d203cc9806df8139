"""Models of the same widths and depth by this package and by others."""

import dataclasses

ATTENTION_DROPOUT = 0.5

LABELS = {
    "ours": "gradformer_dgl",
    "padded": "gradformer_dgl, batches padded to the largest graph",
    "pyg": "torch_geometric GPSConv (multihead), no decay",
    "graphormer": "dgl GraphormerLayer with the decay, padded, no message passing",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of a model and of its batches."""

    layers: int
    channels: int
    heads: int
    batch: int
    local: str

    def __str__(self):
        return (
            f"{self.layers} layers, {self.channels} channels, {self.heads} heads, {self.local.upper()}, "
            f"batch {self.batch}"
        )


def our_model(dataset, setting):
    """Return this package's model."""
    from gradformer_dgl.training.config import RunConfig
    from gradformer_dgl.training.network import build_model

    config = RunConfig(
        feat_size=setting.channels,
        num_layers=setting.layers,
        num_heads=setting.heads,
        message_passing=setting.local,
        attn_drop=ATTENTION_DROPOUT,
    )
    return build_model(dataset, config)


def pyg_model(dataset, setting):
    """Return GPSConv layers between our encoders and a sum readout."""
    import torch
    from torch import nn
    from torch_geometric.nn import GINConv, GINEConv, GPSConv, ResGatedGraphConv, global_add_pool

    from gradformer_dgl.nn.encoders import EDGE_ENCODERS, NODE_ENCODERS, make_encoder

    channels = setting.channels
    edge_encoder = dataset.edge_encoder if setting.local != "gin" else None

    def local():
        if setting.local == "gatedgcn":
            return ResGatedGraphConv(channels, channels)
        mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        return (GINConv if setting.local == "gin" else GINEConv)(mlp)

    class GPS(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes = make_encoder(NODE_ENCODERS, dataset.node_encoder, dataset.node_size, channels)
            self.edges = None
            if edge_encoder is not None:
                self.edges = make_encoder(EDGE_ENCODERS, edge_encoder, dataset.edge_size, channels)
            attention = {"dropout": ATTENTION_DROPOUT}
            self.layers = nn.ModuleList(
                GPSConv(channels, local(), setting.heads, attn_type="multihead", attn_kwargs=attention)
                for _ in range(setting.layers)
            )
            self.head = nn.Linear(channels, dataset.out_size)

        def forward(self, batch):
            edges = torch.stack(batch.graph.edges()).long()
            graph = torch.arange(batch.num_graphs).repeat_interleave(batch.node_counts)
            x = self.nodes(batch.node_features)
            options = {} if self.edges is None else {"edge_attr": self.edges(batch.edge_features)}
            for layer in self.layers:
                x = layer(x, edges, graph, **options)
            return self.head(x if dataset.level == "node" else global_add_pool(x, graph))

    return GPS()


def graphormer_model(dataset, setting):
    """Return DGL's Graphormer layers, their attention multiplied by our decay."""
    import torch
    from dgl.nn import GraphormerLayer
    from torch import nn

    from gradformer_dgl import ExponentialDecay
    from gradformer_dgl.nn.encoders import NODE_ENCODERS, make_encoder

    channels = setting.channels

    class Graphormer(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes = make_encoder(NODE_ENCODERS, dataset.node_encoder, dataset.node_size, channels)
            self.decay = ExponentialDecay(setting.heads)
            self.layers = nn.ModuleList(
                GraphormerLayer(
                    channels,
                    2 * channels,
                    setting.heads,
                    attn_bias_type="mul",
                    norm_first=False,
                    attn_dropout=ATTENTION_DROPOUT,
                )
                for _ in range(setting.layers)
            )
            self.head = nn.Linear(channels, dataset.out_size)

        def forward(self, batch):
            padded = batch.distances.pad()
            real = torch.arange(padded.shape[1]) < batch.node_counts[:, None]
            bias, mask = self.decay(padded), ~(real[:, :, None] & real[:, None, :])
            # A row of padding that may look nowhere would be NaN.
            mask = mask & real[:, :, None]
            x = torch.zeros(*real.shape, channels)
            x[real] = self.nodes(batch.node_features)
            for layer in self.layers:
                x = layer(x, bias, mask)
            return self.head(x[real] if dataset.level == "node" else (x * real[:, :, None]).sum(1))

    return Graphormer()


MODELS = {"ours": our_model, "padded": our_model, "pyg": pyg_model, "graphormer": graphormer_model}
