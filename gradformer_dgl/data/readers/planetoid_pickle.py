"""The raw files of Planetoid, read as data: nothing in them is imported, called or run.

They are pickles of the protocols 0 to 2, written by Python 2 or later, each of a matrix in compressed rows,
an array of numbers, or a dictionary of lists of numbers. A pickle is a program for a machine with a stack.
Those of its instructions that make numbers, text, tuples, lists and dictionaries are carried out here. A name
of something to call is kept as a name, and what Python would make by calling it is made here, for the few
names that arrays, matrices and dictionaries need. Everything else is refused.
"""

import codecs
import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from gradformer_dgl.support.errors import DataError

MOST_CELLS = 1 << 30
"""A matrix with more cells is refused: it is none of these data sets, and would not fit into memory."""
_LATIN = "latin1"
_OPCODES = {opcode.code.encode(_LATIN): opcode for opcode in pickletools.opcodes}

_NAMES = {
    f"{module} {name}": name
    for name, modules in {
        "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
        "ndarray": ("numpy",),
        "dtype": ("numpy",),
        "csr_matrix": ("scipy.sparse.csr", "scipy.sparse._csr"),
        "_reconstructor": ("copy_reg", "copyreg"),
        "defaultdict": ("collections",),
        "encode": ("_codecs",),
        "list": ("__builtin__", "builtins"),
        "object": ("__builtin__", "builtins"),
        "bytes": ("__builtin__", "builtins"),
    }.items()
    for module in modules
}
_NUMBERS = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

Content = np.ndarray | csr_matrix | dict[int, list[int]]


class _RefusedError(ValueError):
    """What is not in these files."""


@dataclass(frozen=True)
class _Name:
    """The name of something that a file asks for."""

    name: str


@dataclass(eq=False)
class _Made:
    """A number type, an array or a matrix: ``kind`` says which, ``content`` what is filled in later."""

    kind: str
    content: Any = None


def read_planetoid(file: str | Path) -> Content:
    """Read one raw file.

    Parameters
    ----------
    file : str or Path
        Such as ``ind.cora.allx``.

    Returns
    -------
    numpy.ndarray, scipy.sparse.csr_matrix or dict
        An array of numbers, a matrix, or for each node the list of its neighbours.

    Raises
    ------
    DataError
        If the file cannot be read, is broken, or holds or asks for anything else.

    Examples
    --------
    >>> import pickle, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "ind.small.graph"
    ...     _ = file.write_bytes(pickle.dumps({0: [1], 1: [0]}, protocol=2))
    ...     read_planetoid(file)
    {0: [1], 1: [0]}
    """
    try:
        return _content(_run(Path(file).read_bytes()))
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        reason = (
            " ".join(str(error).split()) if isinstance(error, _RefusedError | OSError) else "it is broken"
        )
        raise DataError(f"{file} cannot be read ({reason}); delete it and get it again") from error


def _run(data: bytes) -> Any:
    """Carry out the instructions of a pickle; return what it ends with."""
    stream, stack, marks, memo = io.BytesIO(data), [], [], {}  # type: ignore[var-annotated]
    while True:
        code = stream.read(1)
        if not code:
            raise _RefusedError("it ends too early")
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise _RefusedError("it is broken")
        name = opcode.name
        if name == "STRING":
            # Bytes beyond ASCII are written as they are in arrays of Python 2.
            argument: Any = _quoted(stream.readline())
        else:
            argument = None if opcode.arg is None else opcode.arg.reader(stream)
        if name == "STOP":
            return stack.pop()
        if name == "MARK":
            marks.append(len(stack))
        elif name in _PUSHED:
            stack.append(_PUSHED[name](argument))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in _OF_TOP:
            count, make = _OF_TOP[name]
            parts = stack[len(stack) - count :]
            if len(parts) < count:
                raise _RefusedError("it is broken")
            stack[len(stack) - count :] = [make(*parts)]
        elif name in _OF_MARKED:
            begin = marks.pop()
            parts = stack[begin:]
            # What is added to stands below the mark.
            begin -= name in ("APPENDS", "SETITEMS")
            if begin < 0:
                raise _RefusedError("it is broken")
            stack[begin:] = [_OF_MARKED[name](*stack[begin : len(stack) - len(parts)], parts)]
        elif name != "PROTO":
            raise _RefusedError(f"it holds {name}, which is not expected")


def _quoted(line: bytes) -> str:
    line = line.rstrip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise _RefusedError("it is broken")
    return codecs.escape_decode(line[1:-1])[0].decode(_LATIN)


def _global(name: str) -> _Name:
    if name not in _NAMES:
        raise _RefusedError(f"it asks for {name.replace(' ', '.')}")
    return _Name(_NAMES[name])


def _appended(target: Any, items: list[Any]) -> list[Any]:
    if not isinstance(target, list):
        raise _RefusedError("it is broken")
    target.extend(items)
    return target


def _with_items(target: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise _RefusedError("it is broken")
    if not all(isinstance(key, int | str) for key in items[::2]):
        raise _RefusedError("it holds a dictionary of other than numbers")
    target.update(zip(items[::2], items[1::2], strict=True))
    return target


def _called(target: Any, arguments: Any) -> Any:
    """Return what calling one of the names would give."""
    match target, arguments:
        case _Name("_reconstruct"), (_Name("ndarray"), (0,), "b"):
            return _Made("array")
        case _Name("dtype"), (str(code), 0, 1) if code in _NUMBERS:
            return _Made("dtype", code)
        case _Name("_reconstructor"), (_Name("csr_matrix"), _Name("object"), None):
            return _Made("matrix")
        case _Name("csr_matrix"), ():
            return _Made("matrix")
        case _Name("defaultdict"), () | (_Name("list"),):
            return {}
        case _Name("encode"), (str(text), "latin1" | "latin-1"):
            return text
        case _Name("bytes"), ():
            return ""
    raise _RefusedError("it holds an object that is not expected")


def _built(target: Any, state: Any) -> Any:
    """Fill in a number type, an array or a matrix."""
    match target, state:
        case _Made("dtype", str(code)), (_, "<" | ">" | "|" as order, *_):
            target.content = np.dtype(order + code[-2:])
        case (
            _Made("array"),
            (_, tuple(shape), _Made("dtype", np.dtype() as kind), bool() | int() as fortran, str(data)),
        ):
            # A copy, as what a buffer of bytes holds cannot be written to.
            values = np.frombuffer(data.encode(_LATIN), kind).astype(kind.newbyteorder("="))
            if not all(isinstance(count, int) and count >= 0 for count in shape):
                raise _RefusedError("it holds an array of an impossible shape")
            target.content = values.reshape(shape, order="F" if fortran else "C")
        case _Made("matrix"), dict():
            target.content = _matrix(state)
        case _:
            raise _RefusedError("it holds an object that is not expected")
    return target


def _matrix(fields: dict[str, Any]) -> csr_matrix:
    rows, columns = fields["_shape"] if "_shape" in fields else fields["shape"]
    if not all(isinstance(count, int) and count >= 0 for count in (rows, columns)):
        raise _RefusedError("it holds a matrix of an impossible shape")
    if rows * columns > MOST_CELLS:
        raise _RefusedError(f"it holds a matrix of {rows} by {columns}")
    parts = tuple(_content(fields[name]) for name in ("data", "indices", "indptr"))
    matrix = csr_matrix(parts, shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix


def _content(found: Any) -> Any:
    """Return what was read where it is whole, and one of the three that there are."""
    if isinstance(found, _Made) and isinstance(found.content, np.ndarray | csr_matrix):
        return found.content
    if isinstance(found, dict):
        for node, others in found.items():
            if not isinstance(node, int) or not isinstance(others, list):
                raise _RefusedError("it holds a dictionary of other than lists")
            if not all(isinstance(other, int) for other in others):
                raise _RefusedError("it holds lists of other than numbers")
        return found
    raise _RefusedError("it holds neither an array, nor a matrix, nor a dictionary")


_PUSHED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), lambda value: value),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), lambda value: value),
    **dict.fromkeys(("UNICODE", "BINUNICODE"), lambda value: value),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "GLOBAL": _global,
}
"""Instructions that put something on the stack."""

_OF_TOP: dict[str, tuple[int, Callable[..., Any]]] = {
    "TUPLE1": (1, lambda *parts: parts),
    "TUPLE2": (2, lambda *parts: parts),
    "TUPLE3": (3, lambda *parts: parts),
    "APPEND": (2, lambda target, item: _appended(target, [item])),
    "SETITEM": (3, lambda target, *item: _with_items(target, [*item])),
    "REDUCE": (2, _called),
    "NEWOBJ": (2, _called),
    "BUILD": (2, _built),
}
"""Instructions that replace so many entries of the top of the stack by one."""

_OF_MARKED: dict[str, Callable[..., Any]] = {
    "TUPLE": tuple,
    "LIST": list,
    "DICT": lambda items: _with_items({}, items),
    "APPENDS": _appended,
    "SETITEMS": _with_items,
}
"""Instructions that replace all entries down to a mark by one."""
