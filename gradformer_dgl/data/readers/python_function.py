"""Data sets from Python code of a user's own: a function that returns one, or a reader of names and files."""

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradformer_dgl.data.dataset import FeatureSource, GraphDataset
from gradformer_dgl.data.dgl_features import AUTO, split_by_masks
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.packed_checks import place_of_row
from gradformer_dgl.data.readers.label_encoding import degree_columns
from gradformer_dgl.data.readers.registry import TASKS
from gradformer_dgl.pairs.ragged_rows import starts_of
from gradformer_dgl.support.errors import ConfigError, DataError, GradformerError, GraphError, one_line
from gradformer_dgl.support.registry import load_object


def read_python_function(
    name: str,
    data_root: str | Path | None = None,
    *,
    task: str | None = None,
    node_features: str | None = None,
    edge_features: str | None = None,
) -> GraphDataset:
    """Call a function that returns a data set.

    Parameters
    ----------
    name : str
        ``"module:function"``; the module is looked for in the current folder first. Called without arguments,
        it returns a DGL data set, or a list, of graphs or of (graph, label), or a :class:`GraphDataset`.
    task : {"regression", "binary", "multiclass", "multilabel"}, optional
        Default: ``"multiclass"`` where labels are single integers, ``"regression"`` where they are floats.
    node_features, edge_features : str, optional
        Keys in ``ndata`` and ``edata``, or ``"none"``. Default: the usual ones, as in
        :meth:`PackedGraphs.from_graphs`. Floats go through a linear map, integers are categories; nodes
        without features have their degree, one-hot.

    Returns
    -------
    GraphDataset
        Named ``module.function``. Labels that belong to nodes, in ``ndata["label"]``, are taken where items
        have none. One graph with labels of its nodes is split by ``ndata["train_mask"]``,
        ``ndata["val_mask"]`` and ``ndata["test_mask"]``, as the node data sets of :mod:`dgl.data` have them,
        or at random. What the function prints goes to stderr.

    Raises
    ------
    DataError
        If there is no such module or function, it fails, or returns something else; or the labels do not
        suit the task, or are infinite in float32.
    """
    made, items = _call(name, lambda function: function())
    title = name.replace(":", ".")
    dataset = _dataset(name, made, items, title, task, node_features, edge_features)
    return dataclasses.replace(dataset, name=title)


def read_with_plugin(
    reader: str,
    name: str,
    data_root: Path | None = None,
    *,
    task: str | None = None,
    node_features: str | None = None,
    edge_features: str | None = None,
    **options: Any,
) -> GraphDataset:
    """Read a data set with a reader of a user's own, ``"module:function"`` or a class.

    Called as ``function(name, data_root, **options)``, it returns what a function of
    :func:`read_python_function` may return. ``task``, ``node_features`` and ``edge_features`` are as there,
    where the reader does not take them itself. A data set without a name is named like the file, without
    folder and suffix.
    """
    own = {"task": task, "node_features": node_features, "edge_features": edge_features}
    given = {key: value for key, value in (own | options).items() if value is not None}
    parameters = inspect.signature(_load(reader)).parameters
    passed = {key: given.pop(key) for key in list(given) if key in parameters}
    for key in given.keys() - own.keys() - {"jobs"}:
        raise DataError(f"{reader} takes no {key.replace('_', ' ')}: leave that option out")
    made, items = _call(reader, lambda function: function(name, data_root, **passed))
    is_file = any(folder is not None and (folder / name).is_file() for folder in (Path(), data_root))
    title = Path(name).stem if is_file else Path(name).name
    return _dataset(reader, made, items, title, *(given.get(key) for key in own))


def _load(name: str) -> Callable[..., Any]:
    try:
        found = load_object(name)
    except ConfigError as error:
        raise DataError(str(error)) from error.__cause__
    if not callable(found):
        module, _, path = name.partition(":")
        raise DataError(f"the module {module} has {type(found).__name__}, but no function, {path!r}")
    return found


def _call(name: str, call: Callable[[Callable[..., Any]], Any]) -> tuple[Any, list[Any]]:
    """Return the result of a function, and its graphs as a list; none of a :class:`GraphDataset`."""
    with contextlib.redirect_stdout(sys.stderr):
        function = _load(name)
        try:
            made = call(function)
        except GradformerError:
            raise
        except (Exception, SystemExit) as error:
            raise _failure(name, error) from error
        try:
            if isinstance(made, GraphDataset):
                return made, []
            if hasattr(made, "__len__") and hasattr(made, "__getitem__"):
                return made, [made[number] for number in range(len(made))]
            return made, list(made)
        except SystemExit as error:
            raise _failure(name, error) from error
        except Exception as error:
            raise DataError(
                f"{name}: it returns a {type(made).__name__}, not a data set of graphs or of (graph, label)"
            ) from error


def _failure(name: str, error: BaseException) -> DataError:
    reason = f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
    return DataError(f"{name} fails ({reason}); add --debug to see where")


def _dataset(
    code: str,
    made: Any,
    items: list[Any],
    name: str,
    task: str | None,
    node_features: str | None,
    edge_features: str | None,
) -> GraphDataset:
    if isinstance(made, GraphDataset):
        if task is not None or node_features is not None or edge_features is not None:
            raise DataError(f"{code} returns a GraphDataset, which says task and features itself")
        return made
    try:
        graphs = PackedGraphs.from_graphs(
            items, node_features=_key(node_features), edge_features=_key(edge_features)
        )
        degrees = graphs.node_features is None
        node_encoder, node_size = _encoder(graphs, "node_features")
        edge_encoder, edge_size = _encoder(graphs, "edge_features")
        task, out_size, classes = _set_labels(graphs, task)
        node_splits = split_by_masks(items[0]) if graphs.splits_nodes else None
    except GradformerError as error:
        raise DataError(f"{code}: {error}") from error
    assert node_encoder is not None
    return GraphDataset(
        name=name,
        graphs=graphs,
        task=task,
        level=graphs.label_level,
        out_size=out_size,
        node_encoder=node_encoder,
        node_size=node_size,
        edge_encoder=edge_encoder,
        edge_size=edge_size,
        output_names=classes,
        node_splits=node_splits,
        source=FeatureSource(degrees=degrees),
    )


def _key(key: str | None) -> str | None:
    return AUTO if key is None else None if key == "none" else key


def _encoder(graphs: PackedGraphs, name: str) -> tuple[str | None, Any]:
    """Give features the shape of columns, and say what turns them into channels."""
    features: Tensor | None = getattr(graphs, name)
    if features is None:
        if name == "edge_features":
            return None, None
        first = torch.repeat_interleave(starts_of(graphs.node_counts), graphs.edge_counts)
        degrees = torch.bincount(graphs.src + first, minlength=graphs.num_nodes)
        features = torch.from_numpy(degree_columns(degrees.numpy()))
    columns = features.flatten(1) if features.ndim > 1 else features[:, None]
    if not columns.shape[1]:
        raise GraphError(f"{name} have no columns: their shape is {tuple(features.shape)}")
    setattr(graphs, name, columns)
    if columns.is_floating_point() or columns.dtype == torch.bool:
        return "linear", columns.shape[1]
    if len(columns) and int(columns.min()) < 0:
        raise GraphError(f"{name} hold the category {int(columns.min())}; categories are counted from 0")
    return "embedding", tuple(int(size) + 1 for size in columns.amax(0)) if len(columns) else (1,)


def _set_labels(graphs: PackedGraphs, task: str | None) -> tuple[str, int, tuple[str, ...]]:
    """Give labels the shape that the task wants; return the task, the number of outputs, and the classes."""
    if graphs.labels is None:
        return task or "regression", 0, ()
    labels = graphs.labels.reshape(len(graphs.labels), -1)
    _check_finite(graphs, labels)
    if task is None:
        if labels.shape[1] > 1 and not labels.is_floating_point():
            raise DataError(
                f"its labels are {labels.shape[1]} integers each; say --task {' or '.join(TASKS)}"
            )
        task = "regression" if labels.is_floating_point() else "multiclass"
    given = labels[~labels.isnan()]
    if task == "multiclass":
        if labels.shape[1] != 1 or bool((given != given.round()).any()):
            raise DataError("its labels are no single whole numbers, which a multiclass task takes")
        classes, codes = given.long().unique(return_inverse=True)
        graphs.labels = torch.full((len(labels),), -1).masked_scatter(~labels.isnan()[:, 0], codes)
        return task, len(classes), tuple(str(value) for value in classes.tolist())
    if task == "binary" and labels.shape[1] != 1:
        raise DataError(f"its labels are {labels.shape[1]} numbers each; say --task multilabel")
    if task != "regression" and bool(((given != 0) & (given != 1)).any()):
        raise DataError(f"its labels are not all 0 or 1, which a {task} task takes")
    graphs.labels = labels.float()
    return task, labels.shape[1], ()


def _check_finite(graphs: PackedGraphs, labels: Tensor) -> None:
    infinite = labels.isinf().any(1)
    if not infinite.any():
        return
    row = int(infinite.nonzero()[0])
    place = f"graph {row}"
    if graphs.label_level == "node":
        graph, node = place_of_row(row, graphs.node_counts)
        place = f"node {node} of graph {graph}"
    raise DataError(f"the label of {place} is no finite number in float32; NaN is a missing label")
