"""The command as a process to be killed: it saves checkpoints often, and can end itself while it writes.

Processes that the command spawns run the lines above the last ones, too.
"""

import errno
import os
import signal
import sys
from pathlib import Path

from gradformer_dgl.cli import main
from gradformer_dgl.training import loop

loop.SECONDS_BETWEEN_CHECKPOINTS = 0.05


def run(arguments: list[str], errors: str, moment: int | None = None, full: bool = False) -> None:
    """Run the command; with a moment, end at that of the steps in which files become whole.

    Or find the disk full from there on.
    """
    output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if moment is not None:
        _fail_from(moment, full)
    main(arguments)


def _fail_from(moment: int, full: bool) -> None:
    left = moment

    def counted(step):
        def stepping(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0 and full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **options)

        return stepping

    os.fsync, Path.replace = counted(os.fsync), counted(Path.replace)
    if not full:
        Path.unlink, Path.mkdir = counted(Path.unlink), counted(Path.mkdir)


if __name__ == "__main__":
    main(sys.argv[1:])
