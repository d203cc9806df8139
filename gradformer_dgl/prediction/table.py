"""Predictions as a CSV table."""

import contextlib
import csv
import logging
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from jaxtyping import Float64
from torch import Tensor

from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.readers.csv_table import some_lines, some_of
from gradformer_dgl.pairs.ragged_rows import starts_of
from gradformer_dgl.prediction.distances import DistanceSource
from gradformer_dgl.prediction.inputs import Input, InputPart
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.support.atomic_write import whole_file
from gradformer_dgl.support.errors import RunError

STDOUT = Path("-")
_logger = logging.getLogger("gradformer_dgl")
_Row = list[str | int]


def predict_table(
    predictor: Predictor,
    rows: Input,
    source: DistanceSource,
    out: Path,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> int:
    """Predict the rows of an input into a CSV file that is whole or absent; return the number of empty rows.

    One row for each row of the input, in its order (of a node task: for each node), with what identifies it;
    then the probability of each class as ``probability_CLASS`` and the likeliest, ``class``; or the
    probability of each column of a binary or multi-label task under its name; or the values of a
    regression, and with several members (seeds of a run, or runs) their sample standard deviation over the
    members, ``NAME_std``. Rows that could not be read have empty cells. ``-`` is stdout.
    """
    columns = _Columns(predictor.info, rows.columns, predictor.members)
    graphs = 0
    with _whole_text(out) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns.header)
        for part in rows.parts:
            values = list(predictor.each_part(part.graphs, source, graphs))
            writer.writerows(columns.rows(part, values))
            graphs += len(part.graphs)
            on_rows(len(part.identifiers))
        source.finish(graphs)
    if columns.not_finite:
        _logger.warning(
            "%s: %d predictions are not finite (%s %s): look for features far beyond those of the training "
            "data",
            rows.path,
            len(columns.not_finite),
            "node" if predictor.info.level == "node" else rows.columns[0],
            some_of(columns.not_finite),
        )
    if rows.unreadable:
        _logger.warning(
            "%s: RDKit cannot read %d of %d molecules (%s): left empty",
            rows.path,
            len(rows.unreadable),
            rows.total,
            some_lines(rows.unreadable),
        )
    return len(rows.unreadable)


class _Columns:
    """Turn predictions into cells; ``not_finite`` names those that are NaN or infinite."""

    def __init__(self, info: DatasetInfo, identifiers: tuple[str, ...], members: int) -> None:
        self._info = info
        self._deviates = info.task == "regression" and members > 1
        names = [*identifiers, *(["node"] if info.level == "node" else [])]
        if info.task == "multiclass":
            predicted = [*(f"probability_{name}" for name in info.outputs), "class"]
        else:
            # A column of the input and one that is predicted may have one name.
            predicted = [f"predicted_{name}" if name in names else name for name in info.outputs]
            predicted += [f"{name}_std" for name in predicted if self._deviates]
        self.header = [*names, *predicted]
        self._width = len(predicted)
        self.not_finite: list[str] = []

    def rows(self, part: InputPart, values: list[Float64[Tensor, "members items outputs"]]) -> Iterator[_Row]:
        """Return the rows of a part of the input."""
        cells = (row for one in values for row in self._cells(one))
        counts = part.graphs.node_counts.tolist()
        starts = starts_of(part.graphs.node_counts).tolist()
        readable = part.readable or [True] * len(part.identifiers)
        graph = 0
        for identifier, is_graph in zip(part.identifiers, readable, strict=True):
            if not is_graph:
                empty = self._width + (self._info.level == "node")
                yield [*identifier, *[""] * empty]
                continue
            if self._info.level == "graph":
                yield [*identifier, *self._finite(next(cells), identifier[0])]
            else:
                for node in range(counts[graph]):
                    name = node if part.node_names is None else part.node_names[starts[graph] + node]
                    named = f"{name} of {identifier[0]}"
                    yield [*identifier, name, *self._finite(next(cells), named)]
            graph += 1

    def _finite(self, cells: list[str], name: object) -> list[str]:
        # Behind the outputs stands the name of a class, or deviations.
        if any(cell in ("nan", "inf", "-inf") for cell in cells[: len(self._info.outputs)]):
            self.not_finite.append(str(name))
        return cells

    def _cells(self, values: Float64[Tensor, "members items outputs"]) -> Iterator[list[str]]:
        means = values.mean(0)
        if self._info.task == "multiclass":
            for row, place in zip(means.tolist(), means.argmax(1).tolist(), strict=True):
                likeliest = "" if any(map(math.isnan, row)) else self._info.outputs[place]
                yield [*map(_text, row), likeliest]
            return
        deviations = values.std(0) if self._deviates else means[:, :0]
        for row, deviation in zip(means.tolist(), deviations.tolist(), strict=True):
            yield [*map(_text, row), *map(_text, deviation)]


def _text(value: float) -> str:
    return f"{value:.9g}"


@contextlib.contextmanager
def _whole_text(out: Path) -> Iterator[IO[str]]:
    if out != STDOUT:
        with whole_file(out) as stream:
            yield stream
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as stream:
        yield stream
        stream.seek(0)
        shutil.copyfileobj(stream, sys.stdout)
        sys.stdout.flush()


def check_out(out: Path, path: Path, overwrite: bool) -> None:
    """Refuse to write over what is there, before anything is predicted."""
    if out == STDOUT:
        return
    if out.is_dir():
        raise RunError(f"{out} is a folder: give the name of a file in it")
    if out.exists() and not overwrite:
        raise RunError(f"{out} is there already: choose another --out, or --overwrite it")
    if out.exists() and path.exists() and out.samefile(path):
        raise RunError(f"{out} is the input: choose another --out")
