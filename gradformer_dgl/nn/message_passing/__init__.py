"""Message passing: the local branch of a layer, by name or as a module of one's own."""

from gradformer_dgl.nn.message_passing.base import MessagePassing
from gradformer_dgl.nn.message_passing.by_name import make_message_passing
from gradformer_dgl.nn.message_passing.gatedgcn import GatedGCN
from gradformer_dgl.nn.message_passing.gcn import GCN
from gradformer_dgl.nn.message_passing.gin import GIN
from gradformer_dgl.nn.message_passing.gine import GINE
from gradformer_dgl.nn.registry import MESSAGE_PASSING

__all__ = ["GCN", "GIN", "GINE", "MESSAGE_PASSING", "GatedGCN", "MessagePassing", "make_message_passing"]
