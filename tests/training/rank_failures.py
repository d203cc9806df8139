"""Ranks that fail in several ways, while others wait for them; run by torchrun."""

import os
import signal
import sys

import torch

from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.distributed import joined_ranks

try:
    with joined_ranks() as ranks:
        if sys.argv[1] == "all":
            raise RunError("every rank sees this")
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.sum(torch.zeros(3))
except RunError as error:
    sys.exit(f"Error: {error}")
