"""Graph transformers with an exponential-decay attention mask, for DGL."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from gradformer_dgl.support.graphbolt import keep_graphbolt_out
from gradformer_dgl.version import __version__

# Without it, the first import of DGL prints to stdout and writes into the home folder.
os.environ.setdefault("DGLBACKEND", "pytorch")
keep_graphbolt_out()

_HOME_OF = {
    "Gradformer": "models.gradformer",
    "GradformerLayer": "nn.layer",
    "ExponentialDecay": "nn.decay",
    "decay_attention": "kernels.attention",
    "PairDistances": "pairs.distances",
    "SparsePairDistances": "pairs.sparse",
    "NearPairs": "pairs.sparse",
    "cutoff_for": "pairs.cutoff",
    "Predictor": "prediction.predictor",
    "GraphBatch": "data.batch",
}

__all__ = [
    "ExponentialDecay",
    "Gradformer",
    "GradformerLayer",
    "GraphBatch",
    "PairDistances",
    "Predictor",
    "SparsePairDistances",
    "__version__",
    "cutoff_for",
    "decay_attention",
]

if TYPE_CHECKING:
    from gradformer_dgl.data.batch import GraphBatch
    from gradformer_dgl.kernels.attention import decay_attention
    from gradformer_dgl.models.gradformer import Gradformer
    from gradformer_dgl.nn.decay import ExponentialDecay
    from gradformer_dgl.nn.layer import GradformerLayer
    from gradformer_dgl.pairs.cutoff import cutoff_for
    from gradformer_dgl.pairs.distances import PairDistances
    from gradformer_dgl.pairs.sparse import SparsePairDistances
    from gradformer_dgl.prediction.predictor import Predictor


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line answers `--help` without waiting for torch.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
