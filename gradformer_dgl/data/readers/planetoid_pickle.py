"""Reader of Planetoid's raw files: a restricted unpickler that imports and calls nothing in them.

They are pickles of the protocols 0 to 2, written by Python 2 or later, each of a matrix in compressed rows,
an array of numbers, or a dictionary of lists of numbers. Instructions beyond those that these need are
refused. The base is the unpickler written in Python: the one in C cannot refuse instructions, and takes
gigabytes for a large memo index in a file of few bytes.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from gradformer_dgl.support.errors import DataError, one_line

MOST_CELLS = 1 << 30
"""A matrix with more cells is refused: it is none of these data sets, and would not fit into memory."""
_NUMBERS = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_INSTRUCTIONS = """
PROTO STOP MARK PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET INT BININT BININT1 BININT2 LONG LONG1 STRING
BINSTRING SHORT_BINSTRING UNICODE BINUNICODE NONE NEWTRUE NEWFALSE EMPTY_LIST EMPTY_DICT EMPTY_TUPLE TUPLE
TUPLE1 TUPLE2 TUPLE3 LIST APPEND APPENDS GLOBAL REDUCE NEWOBJ DICT SETITEM SETITEMS BUILD
"""

Content = np.ndarray | csr_matrix | dict[int, list[int]]


class _RefusedError(ValueError):
    """Content that is not in these files."""

    def __init__(self, reason: str = "it holds an object that is not expected") -> None:
        super().__init__(reason)


_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, pickle.UnpicklingError)


def read_planetoid(file: str | Path) -> Content:
    """Read one raw file, such as ``ind.cora.allx``: an array, a matrix, or for each node its neighbours.

    :class:`DataError` if it cannot be read, is broken, or holds or asks for anything else.
    """
    try:
        return _content(_Unpickler(_WholeReads(Path(file).read_bytes()), encoding="latin1").load())
    except (*_FAULTS, OSError) as error:
        known = isinstance(error, _RefusedError | OSError)
        reason = one_line(error) if known else "it is broken"
        raise DataError(f"{file} cannot be read ({reason}); delete it and get it again") from error


class _WholeReads(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if size is not None and len(found) < size:
            raise _RefusedError("it ends too early")
        return found


class _Dtype:
    def __init__(self, code: str, align: int, copy: int) -> None:
        if code not in _NUMBERS or align != 0 or copy != 1:
            raise _RefusedError
        self.code = code
        self.content: np.dtype | None = None

    def fill(self, state: Any) -> None:
        if len(state) < 2 or state[1] not in ("<", ">", "|"):
            raise _RefusedError
        self.content = np.dtype(state[1] + self.code)


class _Array:
    content: np.ndarray | None = None

    def fill(self, state: Any) -> None:
        match state:
            case (_, tuple(shape), _Dtype(content=np.dtype() as kind), bool() | int() as fortran, str(data)):
                _check_counts(shape, "an array")
                # A copy, as what a buffer of bytes holds cannot be written to.
                values = np.frombuffer(data.encode("latin1"), kind).astype(kind.newbyteorder("="))
                self.content = values.reshape(shape, order="F" if fortran else "C")
            case _:
                raise _RefusedError


class _Matrix:
    content: csr_matrix | None = None

    def fill(self, fields: Any) -> None:
        rows, columns = fields["_shape"] if "_shape" in fields else fields["shape"]
        _check_counts((rows, columns), "a matrix")
        if max(rows, columns) > MOST_CELLS or rows * columns > MOST_CELLS:
            raise _RefusedError(f"it holds a matrix of {rows} by {columns}")
        parts = tuple(_content(fields[name]) for name in ("data", "indices", "indptr"))
        self.content = csr_matrix(parts, shape=(rows, columns))
        self.content.check_format(full_check=True)


def _check_counts(shape: tuple[Any, ...], kind: str) -> None:
    if not all(isinstance(count, int) and count >= 0 for count in shape):
        raise _RefusedError(f"it holds {kind} of an impossible shape")


def _constructor(result: type, *allowed: tuple[Any, ...]) -> Any:
    """Return a function that takes one of these lists of arguments alone."""

    def make(*arguments: Any) -> Any:
        if arguments not in allowed:
            raise _RefusedError
        return result()

    return make


def _latin_text(text: Any, encoding: Any) -> str:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError
    return text


# Names that are only arguments of a constructor.
_NDARRAY, _LIST, _OBJECT = object(), object(), object()
_CONSTRUCTORS = {
    "numpy.core.multiarray": {"_reconstruct": _constructor(_Array, (_NDARRAY, (0,), "b"))},
    "numpy": {"ndarray": _NDARRAY, "dtype": _Dtype},
    "scipy.sparse.csr": {"csr_matrix": _Matrix},
    "copy_reg": {"_reconstructor": _constructor(_Matrix, (_Matrix, _OBJECT, None))},
    "collections": {"defaultdict": _constructor(dict, (), (_LIST,))},
    "_codecs": {"encode": _latin_text},
    "__builtin__": {"list": _LIST, "object": _OBJECT, "bytes": _constructor(str, ())},
}
"""Stand-ins for the classes and functions that the files may ask for."""
_OLD_MODULES = {
    "numpy._core.multiarray": "numpy.core.multiarray",
    "scipy.sparse._csr": "scipy.sparse.csr",
    "copyreg": "copy_reg",
    "builtins": "__builtin__",
}


class _Unpickler(pickle._Unpickler):
    """Carries out the instructions of these files alone, with stand-ins for what they would import."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    filled = 0

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in."""
        names = _CONSTRUCTORS.get(_OLD_MODULES.get(module, module), {})
        if name not in names:
            raise _RefusedError(f"it asks for {module}.{name}")
        return names[name]

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        # A matrix has three arrays. More could be copies of one long text.
        self.filled += isinstance(target, _Array | _Matrix)
        if not isinstance(target, _Dtype | _Array | _Matrix) or self.filled > 4:
            raise _RefusedError
        target.fill(state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._store(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._store([key, value])

    def load_setitems(self) -> None:
        self._store(self.pop_mark())

    def _store(self, items: list[Any]) -> None:
        # Other keys could be tuples nested so deeply that to hash them ends the process.
        if not all(isinstance(key, int | str) for key in items[::2]):
            raise _RefusedError("it holds a dictionary of other than numbers")
        if type(self.stack[-1]) is not dict:
            raise _RefusedError("it is broken")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _refuse(name: str) -> Callable[[Any], None]:
    def load(unpickler: _Unpickler) -> None:
        raise _RefusedError(f"it holds {name}, which is not expected")

    return load


_Unpickler.dispatch = {
    ord(opcode.code): getattr(_Unpickler, f"load_{opcode.name.lower()}", None)
    or pickle._Unpickler.dispatch[ord(opcode.code)]
    if opcode.name in _INSTRUCTIONS.split()
    else _refuse(opcode.name)
    for opcode in pickletools.opcodes
}


def _content(found: Any) -> Any:
    """Return a whole array, matrix, or dictionary of lists of numbers."""
    if isinstance(found, _Array | _Matrix) and found.content is not None:
        return found.content
    if isinstance(found, dict):
        for node, others in found.items():
            if not isinstance(node, int) or not isinstance(others, list):
                raise _RefusedError("it holds a dictionary of other than lists")
            if not all(isinstance(other, int) for other in others):
                raise _RefusedError("it holds lists of other than numbers")
        return found
    raise _RefusedError("it holds neither an array, nor a matrix, nor a dictionary")
