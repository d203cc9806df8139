"""Labels and splits from the cells of a CSV file."""

import logging
import math
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gradformer_dgl.data.readers.csv_table import CsvTable, some_of
from gradformer_dgl.support.errors import DataError

# Those of read_csv of pandas.
_MISSING = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
_TRUTH = {"false": 0.0, "true": 1.0}
_LARGEST = float(np.finfo(np.float32).max)
_SPLIT_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_logger = logging.getLogger("gradformer_dgl")


def infer_task(table: CsvTable, targets: Sequence[str]) -> str:
    """Return the task of the labels, where they can only be of one; refuse others.

    ``"regression"`` for numbers that are not all whole; for zeros and ones, or true and false, ``"binary"``,
    or ``"multilabel"`` in several columns; ``"multiclass"`` for one column of words.
    """
    first_lines: dict[str, int] = {}
    for name in targets:
        for line, cell in zip(table.lines, table.columns[name], strict=True):
            if not _is_missing(cell):
                first_lines.setdefault(cell, line)
    values = [_number(cell) for cell in first_lines]
    if not values:
        raise DataError(f"{table.file} has no labels in {_columns(targets)}")
    if {_truth(cell) for cell in first_lines} <= {0.0, 1.0}:
        return "binary" if len(targets) == 1 else "multilabel"
    words = [cell for cell, value in zip(first_lines, values, strict=True) if value is None]
    if len(words) == len(values) and len(targets) == 1:
        return "multiclass"
    if not words and any(not value.is_integer() for value in values if value is not None):
        return "regression"
    mixed = ""
    if 0 < len(words) < len(values):
        line = first_lines[words[0]]
        mixed = f" (line {line} has {words[0]!r} among numbers; an empty cell is a missing label)"
    raise DataError(
        f"{table.file}: the labels in {_columns(targets)} do not tell the task{mixed}; say --task "
        "regression, binary, multiclass or multilabel"
    )


def read_numbers(table: CsvTable, targets: Sequence[str], task: str) -> Float32[np.ndarray, "rows targets"]:
    """Read the labels of a regression, binary or multi-label task: (rows, targets); NaN where one is missing.

    Refuse what is no finite number, or neither 0 nor 1 (true nor false) where the task has only these.
    """
    read = _number if task == "regression" else _truth
    if task == "binary" and len(targets) > 1:
        raise DataError(f"a binary task has one target, not {len(targets)}; say --task multilabel")
    labels = np.empty((len(table.lines), len(targets)), dtype=np.float32)
    for column, name in enumerate(targets):
        for row, cell in enumerate(table.columns[name]):
            value = math.nan if _is_missing(cell) else read(cell)
            fault = _fault(value, task)
            if fault is not None:
                place = f"{table.file}, line {table.lines[row]}"
                raise DataError(f"{place}: the label {cell!r} in the column {name} is {fault}")
            labels[row, column] = value
    return labels


def check_targets(
    table: CsvTable, targets: Sequence[str], labels: Float32[np.ndarray, "rows targets"], task: str, noun: str
) -> None:
    """Refuse columns without a label, or with one class where the task is of zeros and ones; name them."""
    found = [set(column[~np.isnan(column)].tolist()) for column in labels.T]
    if empty := [name for name, values in zip(targets, found, strict=True) if not values]:
        raise DataError(f"{table.file} has no {noun} in {_columns(empty)}; choose targets that have some")
    for value in () if task == "regression" else (0.0, 1.0):
        if equal := [name for name, values in zip(targets, found, strict=True) if values == {value}]:
            raise DataError(
                f"{table.file}: all {noun} in {_columns(equal)} are {value:g}; a {task} task needs 0 and 1"
            )


def _fault(value: float | None, task: str) -> str | None:
    if value is not None and math.isnan(value):
        return None
    if value is None or abs(value) > _LARGEST:
        return "no finite number"
    return "neither 0 nor 1" if task != "regression" and value not in (0.0, 1.0) else None


def read_classes(
    table: CsvTable, targets: Sequence[str], rows: Int64[np.ndarray, " graphs"]
) -> tuple[Int64[np.ndarray, " graphs"], list[str]]:
    """Return the classes of a multi-class task, (graphs,) with -1 where one is missing, and their names.

    ``rows`` (graphs,) has the row of each graph. Classes are in the order of their values, or in alphabetical
    order where not all are numbers; fewer than two, or more than two that each occur once, are refused.
    """
    if len(targets) > 1:
        raise DataError(f"a multiclass task has one target, not {len(targets)}; train on one after the other")
    cells = [table.columns[targets[0]][row] for row in rows]
    numbers = {cell: _exact_number(cell) for cell in set(cells) if not _is_missing(cell)}
    words = None in numbers.values()
    # 1 and 1.0 are one class.
    spellings: dict[str | Decimal, list[str]] = {}
    for cell, number in numbers.items():
        spellings.setdefault(cell if words or number is None else number, []).append(cell)
    values = sorted(spellings)
    if len(values) < 2:
        counted = "1 class" if values else "no labels"
        raise DataError(f"{table.file} has {counted} in the column {targets[0]}; a multiclass task needs two")
    if missing := sorted({cell for cell in cells if cell and _is_missing(cell)}):
        text = "%s: %s in the column %s: taken for missing labels, not for a class"
        _logger.warning(text, table.file, ", ".join(missing), targets[0])
    if len(values) > 2 and len(values) == sum(not _is_missing(cell) for cell in cells):
        raise DataError(
            f"{table.file}: no label in the column {targets[0]} occurs twice; these are no classes to learn"
        )
    names = [_class_name(value, spellings[value]) for value in values]
    more = ", ..." if len(names) > 20 else ""
    _logger.info("classes of %s: %s", targets[0], ", ".join(names[:20]) + more)
    codes = {cell: code for code, value in enumerate(values) for cell in spellings[value]}
    return np.array([codes.get(cell, -1) for cell in cells], dtype=np.int64), names


def read_splits(
    table: CsvTable, column: str, rows: Int64[np.ndarray, " graphs"], labelled: Int64[Tensor, " _"]
) -> dict[str, Int64[Tensor, " _"]]:
    """Return the labelled graphs for ``"train"``, ``"val"`` and ``"test"`` by the cells of a column.

    ``rows`` (graphs,) has the row of each graph, ``labelled`` the numbers of those with a label.
    """
    cells = [cell.casefold() for cell in table.columns[column]]
    for row, cell in enumerate(cells):
        if cell not in _SPLIT_OF:
            place, cell = f"{table.file}, line {table.lines[row]}", table.columns[column][row]
            raise DataError(f"{place}: {cell!r} in the column {column} is none of {', '.join(_SPLIT_OF)}")
    parts = np.array([_SPLIT_OF[cells[row]] for row in rows])[labelled.numpy()]
    split = {part: labelled[torch.from_numpy(parts == part)] for part in ("train", "val", "test")}
    for part, graphs in split.items():
        if not len(graphs):
            raise DataError(
                f"{table.file}: no labelled molecule is {part} in the column {column}; train, val and test "
                "need some each"
            )
    return split


def _is_missing(cell: str) -> bool:
    return cell in _MISSING or cell.casefold() == "nan"


def _truth(cell: str) -> float | None:
    return _TRUTH.get(cell.casefold(), _number(cell))


def _number(cell: str) -> float | None:
    try:
        # Python reads 1_5 as 15.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _exact_number(cell: str) -> Decimal | None:
    """Return the number without the rounding of a float, which takes large ids for one another."""
    value = _number(cell)
    try:
        return None if value is None or math.isnan(value) else Decimal(cell)
    except InvalidOperation:
        return None


def _class_name(value: str | Decimal, spellings: Collection[str]) -> str:
    """Return the number in short, or as the file has it where that is another one."""
    if isinstance(value, str):
        return value
    short = f"{float(value):.15g}"
    if "e+" not in short and Decimal(short) == value:
        return short
    return min(spellings, key=lambda cell: (len(cell), cell))


def _columns(names: Sequence[str]) -> str:
    return f"the {'column' if len(names) == 1 else 'columns'} {some_of(names)}"
