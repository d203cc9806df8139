import os
import subprocess
import sys

from gradformer_dgl.training.workers import Workers

_PROGRAM = """
import signal

from gradformer_dgl.training.workers import Workers


def held_back(task, report):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


if __name__ == "__main__":
    Workers(held_back, jobs=2).run(iter([1, 2]), lambda *_: True, lambda task, result: print(result))
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_no_worker_sees_an_interruption_not_even_the_first(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(_PROGRAM)
    done = subprocess.run(
        [sys.executable, file],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["True", "True", "False"]


def test_tasks_one_after_the_other_report_and_stop():
    def double(task, report):
        report({"half": task})
        return 2 * task

    reports, results = [], []

    def wanted(task, record):
        reports.append((task, record))
        return task != 5

    Workers(double).run(iter([3, 5, 7]), wanted, lambda task, result: results.append((task, result)))
    assert reports == [(3, {"half": 3}), (5, {"half": 5}), (7, {"half": 7})]
    assert results == [(3, 6), (7, 14)]
