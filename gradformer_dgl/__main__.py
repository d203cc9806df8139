"""Where the `gradformer-dgl` command begins: Ctrl-C ends it in one line, early, and amid imports, too."""

import os
import signal
from types import FrameType

DEAF = {"importlib", "_frozen_importlib", "_frozen_importlib_external", "llvmlite", "numba"}
RETRY_SECONDS = 0.05


def main() -> None:
    """Run the command line, whose imports take longer than some fingers."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGALRM, _interrupt)
    from gradformer_dgl.cli import main as run

    run()


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Amid an import or a compilation an exception may be swallowed, or come out as another one.
    caller = _caller_of_deaf(frame)
    if caller is None:
        raise KeyboardInterrupt
    if caller == __name__ or caller.startswith("gradformer_dgl.cli"):
        # Commands import before they do anything: there is nothing to clean up yet.
        os.write(2, b"\nError: interrupted\n")
        os._exit(130)
    signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)


def _caller_of_deaf(frame: FrameType | None) -> str | None:
    """Name the module that began the import or compilation that is under way, if there is one."""
    caller, is_deaf = None, False
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] in DEAF:
            is_deaf = True
        elif is_deaf:
            caller, is_deaf = name, False
        frame = frame.f_back
    return caller


if __name__ == "__main__":
    main()
