"""Suggestions for names that are not known: did you mean."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like one that is not known; None where none is, by ``cutoff``, like it."""
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)), None)


def suggestion(name: object, known: Iterable[str]) -> str:
    """End a message about a name that is not known: with the nearest one, where there is one."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near is not None else ""
