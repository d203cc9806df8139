"""Parts of a network of one's own: the decay, the layer, message passing, encoders, readouts."""

from gradformer_dgl.nn.decay import ExponentialDecay
from gradformer_dgl.nn.layer import GradformerLayer

__all__ = ["ExponentialDecay", "GradformerLayer"]
