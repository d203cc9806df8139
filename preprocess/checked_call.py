"""Calls of encodings and distances, a user's own like those of the package, with checked results."""

import inspect
from typing import Any

import numpy as np

from gradformer_dgl.support.errors import ConfigError, GradformerError, one_line
from gradformer_dgl.support.registry import Part, is_code


def call_checked(part: Part, arguments: tuple[Any, ...], shape: tuple[int, ...], label: str) -> np.ndarray:
    """Call the function of a part, or an instance of its class, and check the result.

    It is float32 of this shape without NaN and, where it has two axes, without infinity. ``label`` is for
    messages.
    """
    compute: Any = part.load()
    try:
        if inspect.isclass(compute):
            compute = compute()
        values: Any = compute(*arguments)
    except GradformerError:
        raise
    except Exception as error:
        if not is_code(part.name):
            raise
        reason = one_line(error)
        raise ConfigError(f"{label} fails with {type(error).__name__}: {reason}") from error
    kind, found = getattr(values, "dtype", type(values).__name__), getattr(values, "shape", ())
    if not isinstance(values, np.ndarray) or kind != np.float32 or found != shape:
        raise ConfigError(f"{label} returns {kind} of shape {tuple(found)}, not float32 of shape {shape}")
    wrong = np.isnan(values) if len(shape) == 1 else ~np.isfinite(values)
    if wrong.any():
        raise ConfigError(f"{label} returns {values[wrong][0]} at {np.argwhere(wrong)[0].tolist()}")
    return values
