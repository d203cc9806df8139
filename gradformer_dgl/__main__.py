"""Entry point of the `gradformer-dgl` command: Ctrl-C ends it in one line, amid imports too."""

import os
import signal
import traceback
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
    modules = [at.f_globals.get("__name__", "") for at, _ in traceback.walk_stack(frame)]
    deaf = [place for place, name in enumerate(modules) if name.partition(".")[0] in DEAF]
    if not deaf:
        raise KeyboardInterrupt
    caller = modules[deaf[-1] + 1]
    if caller == __name__ or caller.startswith("gradformer_dgl.cli"):
        # Commands import before they do anything: there is nothing to clean up yet.
        os.write(2, b"\nError: interrupted\n")
        os._exit(130)
    # What is open elsewhere is closed as soon as an exception is heard.
    signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)


if __name__ == "__main__":
    main()
