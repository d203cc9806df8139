"""Compilation of functions with numba."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numba
from numba import extending
from numba.core.caching import FunctionCache


class _ForgivingCache(FunctionCache):
    """numba's cache on disk, where a broken or unwritable file costs a compilation and nothing else."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:
            # A full disk, or an index that was cut short; the compiled function works all the same.
            self.disable()


def jit(function: Callable[..., Any] | None = None, *, fastmath: tuple[str, ...] = ()) -> Any:
    """Compile a function at its first call, for one thread, without the GIL; kept on disk where possible.

    The places are those of numba: the folder of ``NUMBA_CACHE_DIR``, ``__pycache__`` beside the source, the
    user's cache folder. ``fastmath`` is what LLVM may do to floating-point arithmetic, such as
    ``"contract"``.
    """
    if function is None:
        return functools.partial(jit, fastmath=fastmath)
    # Where a division by 0 had to raise, loops with one would have no vector form.
    dispatcher: Any = numba.njit(nogil=True, fastmath=set(fastmath), error_model="numpy")(function)
    # numba raises where it finds no writable place; it then compiles in every process.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _ForgivingCache(function)
    return dispatcher


def is_kept_on_disk(function: Any) -> bool:
    """Return whether a compiled function is kept on disk between processes."""
    return isinstance(function._cache, _ForgivingCache)


def intrinsic(build: Callable[..., Any]) -> Any:
    """Make a function of compiled functions from the instructions that stand for it.

    numba's own, but for its declared type, by which a caller would have to give the typing context.
    """
    return extending.intrinsic(build)
