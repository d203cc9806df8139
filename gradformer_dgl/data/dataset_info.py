"""Dataset info: task, outputs and features of the training data, without the data."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from gradformer_dgl.data.dataset import FeatureSource, GraphDataset
from gradformer_dgl.data.readers.molecule_features import TABLES
from gradformer_dgl.support.errors import DataError

_KINDS = (None, "number", "flag", "category")


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Task, outputs and features of a data set: all of a :class:`GraphDataset` but graphs and splits.

    Kinds of features are ``"number"`` for floats, ``"flag"`` for bool and ``"category"`` for integers.
    Distances follow the direction of edges where ``directed``; those above ``max_distance`` are unreachable.
    """

    name: str
    task: str
    level: str
    out_size: int
    node_encoder: str
    node_size: Any
    edge_encoder: str | None = None
    edge_size: Any = None
    output_names: tuple[str, ...] = ()
    source: FeatureSource = dataclasses.field(default_factory=FeatureSource)
    node_kind: str | None = None
    edge_kind: str | None = None
    directed: bool = False
    max_distance: int | None = None

    @classmethod
    def of(
        cls, dataset: GraphDataset, directed: bool = False, max_distance: int | None = None
    ) -> "DatasetInfo":
        """Return the info of a data set and of its distances."""
        own = {field.name for field in dataclasses.fields(dataset)}
        return cls(
            **{field.name: getattr(dataset, field.name) for field in _FIELDS if field.name in own},
            node_kind=_kind(dataset.graphs.node_features),
            edge_kind=_kind(dataset.graphs.edge_features),
            directed=directed,
            max_distance=max_distance,
        )

    @classmethod
    def read(cls, saved: Any) -> "DatasetInfo":
        """Return the info that :meth:`as_dict` returned; :class:`DataError` where it is none."""
        try:
            values = _with_tuples(saved)
            read = cls(**values | {"source": FeatureSource(**_with_tuples(values.get("source") or {}))})
            checks = (
                read.task in ("multiclass", "binary", "multilabel", "regression"),
                read.level in ("graph", "node"),
                type(read.out_size) is int and read.out_size > 0,
                isinstance(read.name, str) and isinstance(read.directed, bool),
                _is_size(read.node_size, read.node_kind),
                isinstance(read.node_encoder, str) and isinstance(read.edge_encoder, (str, type(None))),
                read.edge_encoder is None or _is_size(read.edge_size, read.edge_kind),
                _is_source(read.source),
                read.max_distance is None or (type(read.max_distance) is int and read.max_distance > 0),
                all(isinstance(name, str) for name in read.output_names),
                read.node_kind in _KINDS and read.edge_kind in _KINDS,
                len(read.output_names) in (0, read.out_size),
            )
        except (AttributeError, TypeError) as error:
            raise DataError(f"this is no description of training data: {error}") from None
        if not all(checks):
            raise DataError("this is no description of training data: a value is out of range")
        return read

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for YAML, without empty ones."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        plain["source"] = {name: value for name, value in plain["source"].items() if value}
        return {name: value for name, value in plain.items() if value not in (None, [], {})}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of classes or columns; numbers where they have no names."""
        if self.output_names:
            return self.output_names
        numbers = tuple(str(number) for number in range(self.out_size))
        if self.task == "multiclass":
            return numbers
        return ("target",) if self.out_size == 1 else tuple(f"target_{number}" for number in numbers)


_FIELDS = dataclasses.fields(DatasetInfo)


def _kind(features: Any) -> str | None:
    if features is None:
        return None
    if features.is_floating_point():
        return "number"
    return "flag" if str(features.dtype) == "torch.bool" else "category"


def _is_size(size: Any, kind: str | None) -> bool:
    sizes = size if isinstance(size, tuple) and kind == "category" else (size,)
    return bool(sizes) and all(type(one) is int and one > 0 for one in sizes)


def _is_source(source: FeatureSource) -> bool:
    values = (source.node_labels, source.edge_labels)
    columns = [column for one in values if isinstance(one, tuple) for column in one]
    return (
        source.molecules in (None, *TABLES)
        and isinstance(source.degrees, bool)
        and isinstance(source.unsanitized, bool)
        and all(isinstance(one, tuple) for one in (*values, *columns))
        and all(type(value) is int for column in columns for value in column)
    )


def _with_tuples(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_tuples(value) for name, value in saved.items()}


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
