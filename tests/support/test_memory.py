import subprocess
import sys

import numpy as np
import pytest

from gradformer_dgl.support.memory import _limits


@pytest.fixture
def limits(tmp_path):
    """Return a function that gives the limits of a process in a group, of files with what they hold."""

    def found(membership, files):
        for name, text in files.items():
            file = tmp_path / "groups" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (tmp_path / "membership").write_text(membership)
        return _limits(tmp_path / "groups", tmp_path / "membership")

    return found


def test_a_container_sees_its_own_group_as_the_root(limits):
    assert limits("0::/\n", {"memory.max": "4294967296\n"}) == [2**32]


def test_a_batch_job_has_the_limits_of_all_groups_above_it(limits):
    files = {"jobs/7/step/memory.max": "max\n", "jobs/7/memory.max": "3000\n", "jobs/memory.max": "5000\n"}
    assert limits("0::/jobs/7/step\n", files) == [3000, 5000]


def test_version_1(limits):
    membership = "9:cpu,cpuacct:/other\n5:memory:/docker/a\n1:name=systemd:/\n"
    files = {"memory/docker/a/memory.limit_in_bytes": "2000\n", "memory/memory.limit_in_bytes": f"{2**63}\n"}
    assert limits(membership, {**files, "other/memory.max": "1\n"}) == [2000, 2**63]


@pytest.mark.parametrize("membership", ["", "0::/\n", "0::/gone\n", "no group\n"])
def test_no_limit(limits, membership):
    assert limits(membership, {}) == []


def test_where_there_are_no_control_groups(tmp_path):
    assert _limits(tmp_path, tmp_path / "none") == []


PEAKS = """
import logging, resource
from gradformer_dgl.support.memory import peak_memory
from gradformer_dgl.training import time_estimate

logging.basicConfig(format="%(message)s", level=logging.INFO)
time_estimate.LONG = 0
watch = time_estimate.TimeEstimate("a", 1, 1)
for _ in range(6):
    watch.step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, peak_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child does not begin with its parent's peak")
def test_the_peak_of_a_process_is_not_that_of_its_parent():
    held = np.ones(1_000_000_000, np.uint8)
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    of_both, own = map(int, done.stdout.split())
    assert own < len(held) < of_both
    amount, unit = done.stderr.split("; ")[1].split()[:2]
    assert float(amount) * {"MB": 1e6, "GB": 1e9}[unit] == pytest.approx(own, rel=0.1)
