"""Encodings of categories: codes of label values, and one-hot columns of labels and degrees."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Integer

from gradformer_dgl.data.readers.csv_table import some_of
from gradformer_dgl.support.errors import DataError

MAX_DEGREE = 512


def values_of(labels: Integer[np.ndarray, "rows columns"]) -> tuple[tuple[int, ...], ...]:
    """Return the values that occur in each column of labels (rows, columns), in ascending order."""
    return tuple(tuple(np.unique(column).tolist()) for column in labels.T)


def label_codes(
    labels: Integer[np.ndarray, "rows _"], values: Sequence[Sequence[int]], noun: str
) -> Int64[np.ndarray, "rows columns"]:
    """Return the place of every label, of shape (rows, columns), among the ascending values of its column.

    ``noun`` names the labels in the message about those that are not known.
    """
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
                f"{noun} have the {several} {some_of(strange)}, "
                f"but those of the training data only {some_of(known)}"
            )
        codes[:, number] = np.searchsorted(known, column)
    return codes


def one_hot(
    codes: Int64[np.ndarray, "rows columns"], values: Sequence[Sequence[int]]
) -> Bool[np.ndarray, "rows _"]:
    """Return a column for every value of every column of codes (rows, columns)."""
    columns = [
        column[:, None] == np.arange(len(known)) for column, known in zip(codes.T, values, strict=True)
    ]
    return np.concatenate(columns, axis=1)


def degree_columns(
    degrees: Integer[np.ndarray, " nodes"], max_degree: int = MAX_DEGREE
) -> Bool[np.ndarray, "nodes columns"]:
    """Return a column for each degree (nodes,), True where a node has it, capped at ``max_degree``."""
    capped = np.minimum(degrees, max_degree)
    return capped[:, None] == np.arange(capped.max(initial=0) + 1)
