"""Merge of the parts, in their order, into one cache file."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradformer_dgl.cache.writer import CachePlan, CacheSizes, CacheWriter
from gradformer_dgl.preprocess.parts import Part, PartSummary, placed_rows


class Merge:
    """Writer of finished parts to the cache file, whatever the order in which they are finished.

    Where it is known how much the file will hold, a part is written as soon as those before it are, while
    others are still computed; else all of them in the end. As a context manager it removes what it wrote
    where it was left without `finish`. ``load`` gives the part of a summary.
    """

    def __init__(
        self,
        path: Path,
        plan: CachePlan,
        load: Callable[[PartSummary], Part],
        sizes: CacheSizes | None = None,
    ) -> None:
        self.path, self.plan, self.load = path, plan, load
        self.summaries: dict[int, PartSummary] = {}
        self._sizes = sizes
        self._writer: CacheWriter | None = None

    def __enter__(self) -> "Merge":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.abort()

    def add(self, summary: PartSummary) -> None:
        """Register a finished part, from whatever thread."""
        self.summaries[summary.number] = summary

    def write(self) -> None:
        """Write the parts whose turn it is, if that can be done before all are finished."""
        if self._sizes is not None:
            # Not before: the workers are busy by now, and do not wait for the file to be made.
            self._begin(self._sizes, self.plan.dtype)
            self._sizes = None
        while self._writer is not None and self._written in self.summaries:
            summary = self.summaries[self._written]
            if summary.dtype.itemsize > self._writer.plan.dtype.itemsize:
                # The type of what is written is too narrow: all of it is written again in the end.
                self._writer.abort()
                self._writer = None
            else:
                self._append(self.load(summary))

    def finish(self) -> None:
        """Write what is left, and give the file its name."""
        self.write()
        if self._writer is None:
            summaries = self.summaries.values()
            total = sum((summary.sizes for summary in summaries), CacheSizes(0, 0, 0))
            dtype = max((summary.dtype for summary in summaries), key=lambda dtype: dtype.itemsize)
            self._begin(total, dtype)
        self.write()
        assert self._writer is not None
        longest = int(np.flatnonzero(self._histogram)[-1]) if self._histogram.any() else 0
        self._writer.finish(self._histogram[: longest + 1], self._digest.hexdigest())
        self._writer = None

    def _begin(self, sizes: CacheSizes, dtype: np.dtype) -> None:
        self._writer = CacheWriter(self.path, dataclasses.replace(self.plan, dtype=dtype), sizes)
        self._written = self._sparse_pairs = 0
        self._histogram = np.zeros(1 << (8 * dtype.itemsize), np.int64)
        self._digest = hashlib.blake2b(digest_size=8)

    def _append(self, part: Part) -> None:
        assert self._writer is not None
        for name, rows in placed_rows(part, self._writer.plan, self._sparse_pairs):
            self._writer.append(name, rows)
        self._sparse_pairs += part.summary.sizes.sparse_pairs
        self._histogram[: len(part.histogram)] += part.histogram
        self._digest.update(np.ascontiguousarray(part.fingerprints).data)
        self._written += 1
