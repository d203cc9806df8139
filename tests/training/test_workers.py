import os
import subprocess
import sys

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
