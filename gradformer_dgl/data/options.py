"""Options of a data set that a user gives: its reader, and the options of the readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradformer_dgl.data.readers.registry import READERS
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.support.registry import Option, is_code, short_repr

DATA_OPTIONS = (
    Option(
        "reader",
        "",
        "reader of the data set, or MODULE:FUNCTION, a Python function that reads the name or file DATASET "
        "[default: the one that takes the name]",
        choices=READERS,
    ),
    *READERS.all_options(),
)
_BY_NAME = {option.name: option for option in DATA_OPTIONS}


@dataclass(frozen=True, init=False)
class DataOptions:
    """Options of :func:`~gradformer_dgl.data.load_dataset`; None or an empty one leaves it to the reader.

    Parameters
    ----------
    **options
        By the names of :data:`DATA_OPTIONS`, such as ``task="binary"``.

    Raises
    ------
    ConfigError
        For an unknown option, or a value that it does not take.

    Examples
    --------
    >>> DataOptions(target_columns=("y",), task="binary").given()
    {'target_columns': ['y'], 'task': 'binary'}
    """

    values: tuple[tuple[str, Any], ...]

    def __init__(self, **options: Any) -> None:
        checked = [(name, _checked(name, value)) for name, value in sorted(options.items())]
        object.__setattr__(
            self, "values", tuple(pair for pair in checked if pair[1] != _BY_NAME[pair[0]].default)
        )

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "DataOptions":
        """Return the options that :meth:`given` returned; :class:`ConfigError` for what are none."""
        if not isinstance(saved, Mapping):
            raise ConfigError("the options of a data set are no table")
        return cls(**{str(name): value for name, value in saved.items()})

    def given(self) -> dict[str, Any]:
        """Return the options that are given, as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.values}


def _checked(name: str, value: Any) -> Any:
    if name not in _BY_NAME:
        raise ConfigError(f"there is no option {name!r} of a data set")
    option = _BY_NAME[name]
    if value is None or value == option.default:
        return option.default
    if option.kind is not tuple:
        # To read the options of a run imports no reader: it may be a stranger's.
        is_own_reader = name == "reader" and isinstance(value, str) and is_code(value)
        return value if is_own_reader else option.checked(value)
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ConfigError(f"{name} takes a list of names, not {short_repr(value)}")
    return tuple(value)
