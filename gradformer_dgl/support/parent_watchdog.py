"""Watchdog that ends a process when its parent has ended."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Let this process end as soon as its parent has, however that ends.

    A parent that is killed can end nobody. Its children would go on writing into a folder in which the next
    run may be at work already.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
