"""Description of the training data in a run folder, and its comparison with the data of today."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.support.errors import DataError, RunError
from gradformer_dgl.training.run_spec import RunSpec

INFO, DIGESTS = "data", "data_digests"
"""Keys of ``config.yaml``: the :class:`DatasetInfo`, and :func:`data_digests`."""


def describe_data(dataset: GraphDataset, spec: RunSpec) -> dict[str, Any]:
    """Return the dataset info and the digests of the data of a run, as ``config.yaml`` keeps them."""
    return {INFO: dataset_info(dataset, spec).as_dict(), DIGESTS: data_digests(dataset)}


def dataset_info(dataset: GraphDataset, spec: RunSpec) -> DatasetInfo:
    """Return the dataset info of a run, with the options of its cache."""
    cache = DistanceCache(spec.cache)
    return DatasetInfo.of(dataset, cache.directed, cache.max_distance)


def saved_info(file: Path, settings: Mapping[str, Any]) -> DatasetInfo | None:
    """Return the dataset info in the settings of a run; None where an older version wrote them."""
    if settings.get(INFO) is None:
        return None
    try:
        return DatasetInfo.read(settings[INFO])
    except DataError as error:
        raise RunError(f"{file}: {error}; train the run again") from None


def require_same_data(file: Path, settings: Mapping[str, Any], today: Mapping[str, Any]) -> None:
    """Refuse data of today, from :func:`describe_data`, that differs from that of a run's ``config.yaml``."""
    then = {key: settings[key] for key in (INFO, DIGESTS) if settings.get(key) not in (None, today[key])}
    if INFO in then and (info := saved_info(file, then)) is not None:
        then[INFO] = info.as_dict()
    if not isinstance(then.get(DIGESTS, {}), dict):
        raise RunError(f"{file} is not the description of a run: {DIGESTS!r} is wrong")
    different = [
        str(name).replace("_", " ")
        for key, saved in then.items()
        for name in saved | today[key]
        if saved.get(name) != today[key].get(name)
    ]
    if different:
        raise RunError(
            f"{file.parent} holds a run on data with other {', '.join(different)}: give it its own data, or "
            "train another run"
        )


def data_digests(dataset: GraphDataset) -> dict[str, str]:
    """Return the SHA-256 of each part of a data set; distances and encodings follow from them and have none.

    The same data has the same digests on every machine and device.
    """
    graphs = dataset.graphs
    parts: dict[str, dict[str, Tensor | None]] = {
        "graphs": {name: getattr(graphs, name) for name in ("node_counts", "edge_counts", "src", "dst")},
        "labels": {graphs.label_level: graphs.labels},
        "node_features": {"": graphs.node_features},
        "edge_features": {"": graphs.edge_features},
        "splits": dict(sorted((dataset.splits or dataset.node_splits or {}).items())),
    }
    given = {
        part: {name: tensor for name, tensor in tensors.items() if tensor is not None}
        for part, tensors in parts.items()
    }
    return {part: _digest(tensors) for part, tensors in given.items() if tensors}


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # There are many NaN, and which one a missing label is depends on who made it.
        whole = tensor.masked_fill(tensor.isnan(), torch.nan) if tensor.is_floating_point() else tensor
        found.update(whole.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()
