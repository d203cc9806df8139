"""Tables of numbers in the text files of a TU data set, in a folder or a zip."""

import codecs
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from gradformer_dgl.data.readers import tu_kernel
from gradformer_dgl.support.errors import DataError, one_line

_PIECE = 1 << 24
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OSError,
)


@dataclass(frozen=True)
class RawFile:
    """Text file at a path, or the ``member`` of the zip there."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    def pieces(self) -> Iterator[bytes]:
        """Read the file in pieces of some megabytes that end with a line's end."""
        rest = b""
        for block in self._blocks():
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            else:
                rest += block
        if rest:
            yield rest

    def read(self) -> bytes:
        """Read the whole file."""
        return b"".join(self._blocks())

    def integers(self, columns: int | None = None, may_be_empty: bool = False) -> np.ndarray:
        """Read integers, separated by commas or blanks: shape (lines, columns), int64, or int32 if these fit.

        ``columns`` is by default the number in the first line. With ``may_be_empty``, a file without any line
        is a table without rows. Other faults raise :class:`DataError` with file and line.
        """
        state = np.zeros(2, dtype=np.int64)
        parts = []
        for text in self.pieces():
            if columns is None:
                columns = len(re.split(rb"[\s,]+", text.split(b"\n", 1)[0].strip()))
            values = np.empty(len(text) // 2 + 1, dtype=np.int64)
            count, status, line = tu_kernel.parse_integers(
                np.frombuffer(text, dtype=np.uint8), columns, values, state
            )
            if status != tu_kernel.OK:
                raise DataError(f"{self}, line {line}: {_FAULTS[status].format(columns=columns)}")
            parts.append(_narrow(values[:count]))
        table = np.concatenate([np.empty(0, np.int32), *parts])
        if not (may_be_empty or len(table)):
            raise DataError(f"{self} is empty; get the data again")
        return table.reshape(-1, columns or 1)

    def floats(self) -> np.ndarray:
        """Read numbers that are finite in float32, separated by commas or blanks: shape (lines, columns).

        Other content, lines of different lengths, and blank ones before others raise :class:`DataError` with
        file and line.
        """
        text = self.read().rstrip()
        if not text:
            raise DataError(f"{self} is empty; get the data again")
        delimiter = "," if b"," in text[: text.find(b"\n") + 1 or None] else None
        try:
            table = np.loadtxt(
                io.BytesIO(text), delimiter=delimiter, ndmin=2, comments=None, encoding="utf-8"
            )
        except ValueError as error:
            line = _line(str(error))
            self._check_blank_lines(text, line)
            place = "" if line is None else f", line {line}"
            raise DataError(f"{self}{place}: a number is expected in every column") from None
        with np.errstate(over="ignore"):
            values = table.astype(np.float32)
        wrong = ~np.isfinite(values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            self._check_blank_lines(text, row + 1)
            value = table[row, column]
            fault = f"{value:g} is no finite number in float32" if np.isfinite(value) else "NaN or infinite"
            raise DataError(f"{self}, line {row + 1}: {fault}; mend or remove the value")
        if len(values) <= text.count(b"\n"):
            self._check_blank_lines(text)
        return values

    def _check_blank_lines(self, text: bytes, before: int | None = None) -> None:
        """Refuse a blank line among those before a line, or among all; the text ends with none."""
        # NumPy passes over them.
        for number, line in enumerate(text.splitlines()[:before], 1):
            if not line.strip():
                raise DataError(f"{self}, line {number}: {_FAULTS[tu_kernel.BLANK_LINE]}")

    def _blocks(self) -> Iterator[bytes]:
        try:
            if self.member is None:
                with self.path.open("rb") as file:
                    yield from self._blocks_of(file)
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    yield from self._blocks_of(file)
        except _BROKEN as error:
            raise DataError(
                f"{self} cannot be read ({_reason(error)}); delete it and get it again"
            ) from error

    def _blocks_of(self, file: IO[bytes]) -> Iterator[bytes]:
        block = file.read(_PIECE)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{self} begins with the byte order mark of UTF-16; save it as UTF-8")
        # That of UTF-8 is not part of the first number.
        block = block.removeprefix(codecs.BOM_UTF8)
        while block:
            yield block
            block = file.read(_PIECE)


@dataclass(frozen=True)
class RawFolder:
    """Raw files of one data set by name, and the folder or zip that has them."""

    path: Path
    files: dict[str, RawFile]

    @classmethod
    def open(cls, path: Path) -> "RawFolder":
        """List the files of a folder, or those in all folders of a zip; refuse what is no zip."""
        if path.is_dir():
            return cls(path, {file.name: RawFile(file) for file in path.iterdir() if file.is_file()})
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
        except _BROKEN as error:
            raise DataError(
                f"{path} is not a zip file ({_reason(error)}); delete it and get it again"
            ) from error
        return cls(path, {name.rsplit("/", 1)[-1]: RawFile(path, name) for name in members})

    def get(self, name: str) -> RawFile | None:
        """Return a file, or None if there is none of that name."""
        return self.files.get(name)

    def __getitem__(self, name: str) -> RawFile:
        if name not in self.files:
            raise DataError(f"{self.path} lacks the raw file {name}; get the data again")
        return self.files[name]


_FAULTS = {
    tu_kernel.NOT_AN_INTEGER: "an integer is expected in every column",
    tu_kernel.WRONG_COLUMNS: "the number of columns is not {columns}",
    tu_kernel.BLANK_LINE: "blank, but more lines follow",
}


def _narrow(values: np.ndarray) -> np.ndarray:
    limits = np.iinfo(np.int32)
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        return values.copy()
    return values.astype(np.int32)


def _line(message: str) -> int | None:
    row = re.search(r"at row (\d+)", message)
    if row is None:
        return None
    # loadtxt counts rows from 0 where a number is wrong, from 1 where the number of columns is
    return int(row[1]) + (0 if "columns changed" in message else 1)


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__
