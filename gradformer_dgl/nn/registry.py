"""Registries of the parts of a network: decays, message passing, readouts, heads.

A new part is a class or function in a file of its own and one line here; no other file changes. A part of a
user's own needs no line: its name is ``module:Class``.
"""

from gradformer_dgl.support.registry import Option, Part, Registry

_NN = "gradformer_dgl.nn"

DISTANCE_UNITS = {"shortest_path": 1.0, "resistance": 0.25}
"""Distances that a decay may depend on, and the length of one of their integer steps."""

DECAYS = Registry(
    "decay",
    [
        Part(
            "exponential",
            f"{_NN}.decay:ExponentialDecay",
            "gamma to the power of the hops beyond a threshold of each head",
            (
                Option("gamma", 0.6, "base of the exponential decay, in (0, 1]", 1e-6, 1),
                Option("hop", 5.0, "initial threshold tau of every head, in hops", -1000, 1000),
                Option("slope", 0.0, "slope of the leaky ReLU within the threshold", 0, 1),
                Option("learn_hop", True, "learn the threshold of every head", argument="learnable"),
            ),
        ),
        Part("none", f"{_NN}.decay:NoDecay", "plain attention"),
    ],
)
"""Called as ``decay(num_heads, **options)``; gives a module with ``table(num_distances)``."""

MESSAGE_PASSING = Registry(
    "message passing",
    [
        Part("gin", f"{_NN}.message_passing.gin:GIN", "graph isomorphism network"),
        Part("gine", f"{_NN}.message_passing.gine:GINE", "GIN with edge features"),
        Part("gcn", f"{_NN}.message_passing.gcn:GCN", "graph convolutional network"),
        Part("gatedgcn", f"{_NN}.message_passing.gatedgcn:GatedGCN", "gated graph convolution"),
        Part(
            "gatedgcn_gate",
            f"{_NN}.message_passing.gatedgcn:EncodingGatedGCN",
            "gated graph convolution with a gate on the distance of encodings",
        ),
    ],
)
"""Called as ``message_passing(feat_size)``; gives a module called as ``module(graph, x, edge_features)``."""

READOUTS = Registry(
    "readout",
    [
        Part("sum", f"{_NN}.readout:sum_nodes", "sum over the nodes"),
        Part("mean", f"{_NN}.readout:mean_nodes", "mean over the nodes"),
        Part("max", f"{_NN}.readout:max_nodes", "largest value of each channel"),
    ],
)
"""Functions of (x, node_counts): (nodes, channels) and (graphs,) to (graphs, channels)."""

HEADS = Registry(
    "head",
    [
        Part("linear", f"{_NN}.heads:linear_head", "one linear layer"),
        Part("mlp", f"{_NN}.heads:mlp_head", "three linear layers, each half as wide"),
    ],
)
"""Called as ``head(feat_size, out_size)``; gives a module."""
