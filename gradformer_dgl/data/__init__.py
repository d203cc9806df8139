"""Data sets as packed tensors, and batches cut out of them."""

import importlib
from typing import TYPE_CHECKING, Any

_HOME_OF = {
    "CachedGraphDataset": "cached",
    "GraphDataset": "dataset",
    "PackedGraphs": "packed",
    "collate": "cached",
    "dataset_names": "catalog",
    "load_dataset": "catalog",
}

__all__ = ["CachedGraphDataset", "GraphDataset", "PackedGraphs", "collate", "dataset_names", "load_dataset"]

if TYPE_CHECKING:
    from gradformer_dgl.data.cached import CachedGraphDataset, collate
    from gradformer_dgl.data.catalog import dataset_names, load_dataset
    from gradformer_dgl.data.dataset import GraphDataset
    from gradformer_dgl.data.packed import PackedGraphs


def __getattr__(name: str) -> Any:
    # Loaded on first use: the names of the data sets can be listed without waiting for torch.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
