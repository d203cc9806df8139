"""A network of torch_geometric's GPSConv layers over the nodes of one graph."""


def gps_model(attention, x, src, dst, layers, channels, heads, classes):
    """Return a model that is called without arguments: GCN beside "multihead" or "performer" attention."""
    import numpy as np
    import torch
    from torch import nn
    from torch_geometric.nn import GCNConv, GPSConv

    edges = torch.from_numpy(np.stack([src, dst]).astype(np.int64))

    class GPS(nn.Module):
        def __init__(self):
            super().__init__()
            self.nodes, self.head = nn.Linear(x.shape[1], channels), nn.Linear(channels, classes)
            self.layers = nn.ModuleList(
                GPSConv(channels, GCNConv(channels, channels), heads, attn_type=attention)
                for _ in range(layers)
            )

        def forward(self):
            h = self.nodes(x)
            for layer in self.layers:
                h = layer(h, edges)
            return self.head(h)

    return GPS()
