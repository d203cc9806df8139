"""Encodings of categories: codes of label values, and one-hot columns of labels and degrees."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Integer

from gradformer_dgl.support.errors import DataError

MAX_DEGREE = 512
_SHOWN_VALUES = 10


def values_of(labels: Integer[np.ndarray, "rows columns"]) -> tuple[tuple[int, ...], ...]:
    """Return the values that occur in each column, in ascending order.

    Examples
    --------
    >>> values_of(np.array([[7, 0], [4, 0]]))
    ((4, 7), (0,))
    """
    return tuple(tuple(np.unique(column).tolist()) for column in labels.T)


def label_codes(
    labels: Integer[np.ndarray, "rows _"], values: Sequence[Sequence[int]], noun: str
) -> Int64[np.ndarray, "rows columns"]:
    """Return the place of every label, of shape (rows, columns), among the ascending values of its column.

    ``noun`` names the labels in the message about those that are not known.

    Examples
    --------
    >>> label_codes(np.array([[7], [4], [7]]), [(4, 7)], "the labels").ravel()
    array([1, 0, 1])
    >>> label_codes(np.array([[7], [5]]), [(4, 7)], "the labels")
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.DataError: the labels have the value 5, but those of the training data only 4, 7
    """  # noqa: E501
    if labels.shape[1] != len(values):
        raise DataError(
            f"{noun} have {labels.shape[1]} columns, but those of the training data have {len(values)}"
        )
    codes = np.empty(labels.shape, np.int64)
    for number, (column, known) in enumerate(zip(labels.T, values, strict=True)):
        strange = np.setdiff1d(column, known)
        if len(strange):
            several = "value" if len(strange) == 1 else "values"
            raise DataError(
                f"{noun} have the {several} {_some(strange)}, "
                f"but those of the training data only {_some(known)}"
            )
        codes[:, number] = np.searchsorted(known, column)
    return codes


def one_hot(
    codes: Int64[np.ndarray, "rows columns"], values: Sequence[Sequence[int]]
) -> Bool[np.ndarray, "rows _"]:
    """Return a column for every value of every column.

    Examples
    --------
    >>> one_hot(np.array([[1, 0], [0, 0]]), [(4, 7), (0,)]).astype(int).tolist()
    [[0, 1, 1], [1, 0, 1]]
    """
    columns = [
        column[:, None] == np.arange(len(known)) for column, known in zip(codes.T, values, strict=True)
    ]
    return np.concatenate(columns, axis=1)


def degree_columns(
    degrees: Integer[np.ndarray, " nodes"], max_degree: int = MAX_DEGREE
) -> Bool[np.ndarray, "nodes columns"]:
    """Return a column for each degree, True where a node has it; higher ones are counted as ``max_degree``.

    Examples
    --------
    >>> degree_columns(np.array([0, 2, 9]), max_degree=2).astype(int).tolist()
    [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    """
    capped = np.minimum(degrees, max_degree)
    return capped[:, None] == np.arange(capped.max(initial=0) + 1)


def _some(values: Sequence[int] | np.ndarray) -> str:
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return ", ".join(str(value) for value in values[:_SHOWN_VALUES]) + more
