"""JSON that every reader takes."""

import json
import math
from typing import Any


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; what is not finite, which JSON has no number for, becomes null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def with_nan(value: Any) -> Any:
    """Return what was read of :func:`json_text`, with NaN in the place of null."""
    if isinstance(value, dict):
        return {key: with_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [with_nan(part) for part in value]
    return math.nan if value is None else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
