"""Softmax attention within every graph of a batch, its logits multiplied by a decay of distance."""

from gradformer_dgl.kernels.attention.dispatch import (
    attention_backend,
    decay_attention,
    packed_decay_attention,
)

__all__ = ["attention_backend", "decay_attention", "packed_decay_attention"]
