"""The command on a disk that is full for the first rank; run by torchrun."""

import os
import resource
import sys

from gradformer_dgl.cli import main

if os.environ["RANK"] == "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
main(sys.argv[1:])
