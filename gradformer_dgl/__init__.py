"""Graph transformers with an exponential-decay attention mask, for DGL."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from gradformer_dgl.graphbolt import keep_graphbolt_out

# Without it, the first import of DGL prints to stdout and writes into the home folder.
os.environ.setdefault("DGLBACKEND", "pytorch")
keep_graphbolt_out()

__version__ = "0.1.0"

_HOME_OF = {
    "Gradformer": "model",
    "GradformerLayer": "layer",
    "ExponentialDecay": "decay",
    "decay_attention": "attention",
    "PairDistances": "distances",
    "NearPairs": "near_pairs",
    "cutoff_for": "cutoff",
    "Predictor": "prediction.predictor",
    "GraphBatch": "batch",
}

__all__ = [
    "ExponentialDecay",
    "Gradformer",
    "GradformerLayer",
    "GraphBatch",
    "NearPairs",
    "PairDistances",
    "Predictor",
    "__version__",
    "cutoff_for",
    "decay_attention",
]

if TYPE_CHECKING:
    from gradformer_dgl.attention import decay_attention
    from gradformer_dgl.batch import GraphBatch
    from gradformer_dgl.cutoff import cutoff_for
    from gradformer_dgl.decay import ExponentialDecay
    from gradformer_dgl.distances import PairDistances
    from gradformer_dgl.layer import GradformerLayer
    from gradformer_dgl.model import Gradformer
    from gradformer_dgl.near_pairs import NearPairs
    from gradformer_dgl.prediction.predictor import Predictor


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line answers `--help` without waiting for torch.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
