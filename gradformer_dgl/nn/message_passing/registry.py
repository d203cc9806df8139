"""Message passing by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from gradformer_dgl.nn.message_passing.gatedgcn import GatedGCN
from gradformer_dgl.nn.message_passing.gcn import GCN
from gradformer_dgl.nn.message_passing.gin import GIN, GINE
from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError

MESSAGE_PASSING: dict[str, Callable[[int], nn.Module]] = {
    "gin": GIN,
    "gine": GINE,
    "gcn": GCN,
    "gatedgcn": GatedGCN,
    "gatedgcn_gate": partial(GatedGCN, encoding_gate=True),
}
"""What makes a message passing module of a number of channels, by name."""


def make_message_passing(
    choice: str | nn.Module | Callable[[int], nn.Module] | None, feat_size: int
) -> nn.Module | None:
    """Return the message passing of that name, of a function of the channels, or the module itself.

    Parameters
    ----------
    choice : str, nn.Module, callable or None
        A key of `MESSAGE_PASSING`; a module, which is returned as it is; or a function that makes one of the
        number of channels.
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
    if choice not in MESSAGE_PASSING:
        raise ConfigError(
            f"no message passing named {choice!r} (there are {', '.join(MESSAGE_PASSING)}, None)"
            f"{suggestion(choice, MESSAGE_PASSING)}"
        )
    return MESSAGE_PASSING[choice](feat_size)
