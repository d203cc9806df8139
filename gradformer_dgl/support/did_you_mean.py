"""Suggestions for names that are not known: did you mean."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like one that is not known, or None where none is like it.

    ``cutoff`` is the least likeness, up to 1 for the same text.

    Examples
    --------
    >>> from gradformer_dgl.support.did_you_mean import nearest
    >>> nearest("epoch", ["lr", "epochs"])
    'epochs'
    """
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)), None)


def suggestion(name: object, known: Iterable[str]) -> str:
    """End a message about a name that is not known: with the nearest one, where there is one.

    Examples
    --------
    >>> from gradformer_dgl.support.did_you_mean import suggestion
    >>> suggestion("gni", ["gin", "gcn"]), suggestion("x", ["gin", "gcn"])
    ("; did you mean 'gin'?", '')
    """
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near is not None else ""
