"""What a user says about a data set that does not say it itself."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradformer_dgl.support.errors import ConfigError

TU_FEATURES = ("labels", "all")
TASKS = ("regression", "binary", "multiclass", "multilabel")


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Options of :func:`~gradformer_dgl.data.load_dataset`; what is None or empty is left to the reader.

    Parameters
    ----------
    smiles_column : str, optional
        Column of a CSV file that has the molecules.
    target_columns : tuple of str
        Columns of a CSV file that are predicted.
    split_column : str, optional
        Column of a CSV file that says which rows are for training, validation and testing.
    task : str, optional
        ``"regression"``, ``"binary"``, ``"multiclass"`` or ``"multilabel"``.
    node_features, edge_features : str, optional
        Keys in ``ndata`` and ``edata`` of the graphs of a Python function; ``"none"`` takes no features.
    tu_features : str, optional
        ``"labels"`` or ``"all"``, labels and attributes, of the nodes and edges of a TU set.

    Raises
    ------
    ConfigError
        For a task or features that there are not.

    Examples
    --------
    >>> DataOptions(target_columns=("y",), task="binary").given()
    {'target_columns': ['y'], 'task': 'binary'}
    """

    smiles_column: str | None = None
    target_columns: tuple[str, ...] = ()
    split_column: str | None = None
    task: str | None = None
    node_features: str | None = None
    edge_features: str | None = None
    tu_features: str | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            words = value if field.name == "target_columns" else (value or "",)
            if not all(isinstance(word, str) for word in words):
                raise ConfigError(f"the option {field.name} of a data set takes words")
        if self.task is not None and self.task not in TASKS:
            raise ConfigError(f"a task is one of {', '.join(TASKS)}, not {self.task!r}")
        if self.tu_features is not None and self.tu_features not in TU_FEATURES:
            raise ConfigError(f"tu_features is one of {', '.join(TU_FEATURES)}, not {self.tu_features!r}")

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "DataOptions":
        """Return the options that :meth:`given` told.

        Raises
        ------
        ConfigError
            For an option that there is not, or a value that is no word.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(saved, Mapping):
            raise ConfigError("the options of a data set are no table")
        for name in saved:
            if name not in known:
                raise ConfigError(f"there is no option {name!r} of a data set")
        options: dict[str, Any] = dict(saved)
        targets = options.get("target_columns", ())
        if not isinstance(targets, (list, tuple)):
            raise ConfigError("the option target_columns of a data set takes a list of words")
        return cls(**options | {"target_columns": tuple(targets)})

    def given(self) -> dict[str, Any]:
        """Return the options that say something, as plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
            if value not in (None, ())
        }
