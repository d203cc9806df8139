"""Malformed inputs: a fault is said in one line, or does not matter.

``FUZZ=300`` runs so many cases of every kind, ``FUZZ_SEED=7`` others.
"""

import csv
import io
import json
import math
import os
import random
import signal
from contextlib import contextmanager
from pathlib import Path

import cache_files
import graph_inputs
import molecule_tables
import pytest
import run_folders
import settings_files
import tu_folders
from faults import MISTAKE, SAME, Case

from gradformer_dgl.cache import DistanceCache

KINDS = (cache_files, graph_inputs, molecule_tables, run_folders, settings_files, tu_folders)
CASES, SEED = int(os.environ.get("FUZZ", "4")), int(os.environ.get("FUZZ_SEED", "0"))
SECONDS = 120


@pytest.mark.parametrize("number", range(CASES))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_input_that_may_be_broken(sound, command, kind, number, tmp_path):
    case = kind.make(random.Random(f"{SEED} {number}"), sound, tmp_path)
    with patience_for(case):
        done = command("-q", *case.command)
    told = f"{case.what}\n{' '.join(case.command)}\n{done}"
    assert done.status in (0, 1, 2, 3), told
    assert "defect" not in done.err, told
    assert "Traceback" not in done.err, told
    if done.status in (1, 2):
        assert done.out == "", told
        assert done.err.count("Error: ") == 1, told
        assert done.status == 2 or len(done.err.splitlines()) == 1, told
        assert case.expected != SAME, told
        return
    assert done.err == "", told
    assert case.expected != MISTAKE, told
    outcome = result_of(case.command, done.out)
    if case.expected == SAME:
        assert outcome == result_of(case.sound, command("-q", *case.sound).out), told


@contextmanager
def patience_for(case: Case):
    """Give up on a command that does not end."""

    def give_up(number, frame):
        pytest.fail(f"no end after {SECONDS} s: {case.what}: {' '.join(case.command)}")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def result_of(command: list[str], out: str):
    """Return the result of a command that succeeded, checked as far as it can be by itself."""
    verb = command[0]
    if verb == "predict":
        header, *rows = csv.reader(io.StringIO(out))
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        return [row[2:] for row in rows]
    if verb in ("train", "evaluate"):
        result = json.loads(out.splitlines()[-1])
        assert all(set(run) >= {"seed", "also"} for run in result["runs"])
        return result["mean"], result["std"], result["also"]
    if verb == "info":
        assert "all checksums agree" in out
        return out
    file = Path(out.partition(": ")[0])
    cache = DistanceCache(file)
    cache.verify()
    assert f": {len(cache)} graphs" in out
    assert all(math.isfinite(value) for value in cache.encoding("rwse:3").ravel().tolist())
    return cache.node_counts.tolist(), cache.fingerprints().tolist(), cache.read().tolist()
