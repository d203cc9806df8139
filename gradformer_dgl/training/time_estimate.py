"""Time estimate of a training, logged after its first steps."""

import logging
import time

from gradformer_dgl.preprocess.estimate import bytes_text, duration_text
from gradformer_dgl.support.memory import peak_memory

MEASURED_STEPS = 5
"""The step before them warms up."""
LONG = 60.0
"""Seconds; no estimate of a shorter training is logged."""

_logger = logging.getLogger("gradformer_dgl")


class TimeEstimate:
    """Measure the first steps of a training, and log once how long all of its epochs will take."""

    def __init__(self, what: str, steps: int, epochs: int) -> None:
        self._what, self._steps, self._epochs = what, steps, epochs
        self._done, self._begin = 0, 0.0

    def step(self) -> None:
        """Count one more step."""
        self._done += 1
        if self._done == 1:
            self._begin = time.perf_counter()
        if self._done != MEASURED_STEPS + 1:
            return
        epoch = (time.perf_counter() - self._begin) / MEASURED_STEPS * self._steps
        if epoch * self._epochs < LONG:
            return
        _logger.info(
            "%s: about %s for the training steps of an epoch, %s for those of %d epochs; "
            "%s of memory at most so far",
            self._what,
            duration_text(epoch),
            duration_text(epoch * self._epochs),
            self._epochs,
            bytes_text(peak_memory()),
        )
