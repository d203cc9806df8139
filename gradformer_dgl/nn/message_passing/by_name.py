"""Message passing by name."""

from collections.abc import Callable

from torch import nn

from gradformer_dgl.nn.registry import MESSAGE_PASSING


def make_message_passing(
    choice: str | nn.Module | Callable[[int], nn.Module] | None, feat_size: int
) -> nn.Module | None:
    """Return the message passing of that name, of a function of the channels, or the module itself.

    Parameters
    ----------
    choice : str, nn.Module, callable or None
        A name in the registry, or ``module:Class``; a module, which is returned as it is; or a function that
        makes one of the number of channels.
    feat_size : int
        Channels in and out.

    Returns
    -------
    nn.Module or None
        None where the choice is None: no message passing.

    Raises
    ------
    ConfigError
        If there is no such name.

    Examples
    --------
    >>> type(make_message_passing("gine", feat_size=5)).__name__
    'GINE'
    >>> import dgl.nn
    >>> make_message_passing(lambda size: dgl.nn.GraphConv(size, size), feat_size=5)
    GraphConv(in=5, out=5, normalization=both, activation=None)
    """
    if choice is None or isinstance(choice, nn.Module):
        return choice
    if callable(choice):
        return choice(feat_size)
    module: nn.Module = MESSAGE_PASSING.load(choice)(feat_size)
    return module
