"""The peak of the resident memory of a process, while something runs."""

import os
import threading

BEYOND_MEMORY = 3
"""Code with which a process ends that takes more memory than it may."""


class PeakMemory:
    """Watches the process in a ``with`` block.

    ``limit`` bytes above the start end the process with ``BEYOND_MEMORY``: an allocation of its own would be
    refused elsewhere than in the process that asked.
    """

    def __init__(self, limit=None):
        self.limit, self._done = limit, threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        import psutil

        self._process = psutil.Process()
        self._before = self._peak = self._process.memory_info().rss
        self._watcher.start()
        return self

    def __exit__(self, *reason):
        self._done.set()
        self._watcher.join()

    def _watch(self):
        while not self._done.wait(0.002):
            self._peak = max(self._peak, self._process.memory_info().rss)
            if self.limit is not None and self._peak - self._before > self.limit:
                os._exit(BEYOND_MEMORY)

    @property
    def megabytes(self):
        """Peak above the start."""
        return (self._peak - self._before) / 2**20
