"""Processors and groups of a container or batch job."""

import os

import pytest

from gradformer_dgl.cli import doctor
from gradformer_dgl.training import threads


@pytest.mark.parametrize(
    ("membership", "files", "processors"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, [2]),
        ("0::/\n", {"cpu.max": "max 100000\n"}, []),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, [1]),
        ("0::/jobs/7\n", {"jobs/7/cpu.max": "max 100000\n", "jobs/cpu.max": "800000 100000\n"}, [8]),
        (
            "4:cpu,cpuacct:/a\n2:memory:/b\n",
            {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            [3],
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("", {}, []),
    ],
)
def test_quotas_of_groups(tmp_path, membership, files, processors):
    for name, text in files.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "membership").write_text(membership)
    assert threads._quotas(tmp_path / "groups", tmp_path / "membership") == processors


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not bound here")
def test_a_process_that_is_bound_counts_its_own(command):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.available_processors() == 1
        line = next(line for line in command("doctor").out.splitlines() if line.startswith("machine"))
    finally:
        os.sched_setaffinity(0, before)
    there = os.cpu_count()
    assert line.endswith(f"1 of {there} processors may be used" if there > 1 else "1 processors")


def test_the_quota_of_a_container_bounds_the_affinity(monkeypatch):
    monkeypatch.setattr(threads, "_quotas", lambda *places: [7, 1])
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert threads.available_processors() == 1
    assert doctor._processors() == "1 of 64 processors may be used"
