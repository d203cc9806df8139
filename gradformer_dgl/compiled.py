"""The one way in which this package compiles a function with numba."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for one thread, without the GIL, kept on disk where a place is writable.

    numba looks for a writable folder when the function is decorated and raises where it finds none
    (package folder and home both read-only). The function then is compiled anew in every process.

    Parameters
    ----------
    function : callable
        A function of scalars and NumPy arrays in the subset of Python that numba compiles.

    Returns
    -------
    callable
        The compiled function. Compilation happens at the first call.

    Examples
    --------
    >>> from gradformer_dgl.compiled import compiled
    >>> def add(a, b):
    ...     return a + b
    >>> compiled(add)(2, 3)
    5
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


def is_kept_on_disk(function: Any) -> bool:
    """Whether a compiled function is kept on disk between processes."""
    return bool(getattr(function._cache, "cache_path", None))
