"""Some columns of a CSV file, with the line numbers of its rows."""

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.support.errors import DataError, one_line

_SUFFIXES = (".csv.gz", ".csv")
_MOST_NAMED = 10
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class CsvTable:
    """Columns of a CSV file: their cells without blanks around them, and the line that each row begins in."""

    file: Path
    lines: list[int]
    columns: dict[str, list[str]]


def is_csv(name: str) -> bool:
    """Return whether a name is that of a CSV file, plain or gzipped."""
    return name.lower().endswith(_SUFFIXES)


def find_csv(name: str | Path, data_root: str | Path | None = None) -> Path:
    """Return the path of a file, which may lie in the data folder."""
    file = Path(name)
    if data_root is not None and not file.exists() and Path(data_root, file.name).is_file():
        return Path(data_root, file.name)
    return file


def csv_stem(file: Path) -> str:
    """Return the name of a CSV file without suffix."""
    suffix = next(suffix for suffix in _SUFFIXES if file.name.lower().endswith(suffix))
    return file.name[: -len(suffix)]


def read_header(file: Path) -> list[str]:
    """Return the names of the columns of a CSV file, plain or gzipped."""
    with _rows(file) as rows:
        return _header(file, rows)


def read_columns(file: Path, names: Sequence[str]) -> CsvTable:
    """Read some columns of a CSV file, plain or gzipped; empty lines are passed over."""
    with _rows(file) as rows:
        header = _header(file, rows)
        places = [_place(file, header, name) for name in names]
        lines: list[int] = []
        cells: list[list[str]] = []
        for line, row in rows:
            if len(row) != len(header):
                counted = "1 cell" if len(row) == 1 else f"{len(row)} cells"
                raise DataError(
                    f"{file}, line {line}: {counted}, but the header has {len(header)}; put text with commas "
                    "in quotes, and close each quote"
                )
            lines.append(line)
            cells.append([row[place].strip() for place in places])
    if not lines:
        raise DataError(f"{file} has no rows below its header")
    columns = zip(*cells, strict=True)
    return CsvTable(file, lines, {name: list(column) for name, column in zip(names, columns, strict=True)})


def some_lines(lines: Sequence[int]) -> str:
    """Name lines in a message, not too many of them."""
    return f"{'line' if len(lines) == 1 else 'lines'} {some_of(lines)}"


def some_of(numbers: Sequence[object] | np.ndarray) -> str:
    """Name the first of many."""
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    return ", ".join(map(str, numbers[:_MOST_NAMED])) + more


@contextlib.contextmanager
def _rows(file: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    try:
        with file.open("rb") as raw, contextlib.ExitStack() as stack:
            content = stack.enter_context(gzip.open(raw)) if file.suffix.lower() == ".gz" else raw
            # A byte order mark, which spreadsheets write, is not part of the first name.
            text = stack.enter_context(io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))
            yield _numbered(csv.reader(text))
    except FileNotFoundError:
        raise DataError(f"no file {file}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise DataError(f"{file} cannot be read as CSV ({reason})") from error


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    # A quoted cell may go over several lines.
    line = 1
    for row in reader:
        if row:
            yield line, row
        line = reader.line_num + 1


def _header(file: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    _, header = next(rows, (0, None))
    if header is None:
        raise DataError(f"{file} is empty; its first line has to name the columns, such as smiles,target")
    for separator, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise DataError(f"{file}: {name} separate its cells; save it with commas between them")
    return [name.strip() for name in header]


def _place(file: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        fault = "several columns" if name in header else "no column"
        raise DataError(f"{file} has {fault} {name!r}; its columns are {', '.join(header)}")
    return header.index(name)
