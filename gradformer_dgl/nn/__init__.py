"""Parts of a network of one's own: decay, layer, attention, encoders, readouts; tensors in, tensors out."""

import importlib
from typing import TYPE_CHECKING, Any

_HOME_OF = {
    "Decay": "decay",
    "DecayAttention": "layer",
    "ExponentialDecay": "decay",
    "GradformerLayer": "layer",
    "NoDecay": "decay",
}

__all__ = ["Decay", "DecayAttention", "ExponentialDecay", "GradformerLayer", "NoDecay"]

if TYPE_CHECKING:
    from gradformer_dgl.nn.decay import Decay, ExponentialDecay, NoDecay
    from gradformer_dgl.nn.layer import DecayAttention, GradformerLayer


def __getattr__(name: str) -> Any:
    # Loaded on first use: settings read the registries without waiting for torch.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
