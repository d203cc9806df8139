import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gradformer_dgl.support import lock
from gradformer_dgl.support.errors import CacheError
from gradformer_dgl.support.lock import exclusive

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EIO)


@pytest.fixture(params=[None, *NO_LOCKS], ids=lambda number: errno.errorcode.get(number, "flock"))
def file_system(request, monkeypatch):
    """A file system with locks, and those without."""
    if request.param is not None:

        def flock(descriptor, operation):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


def test_one_holder_at_a_time(file_system, tmp_path):
    target = tmp_path / "folder" / "x.h5"
    with exclusive(target):
        message = (
            rf"x\.h5 is being written by process {os.getpid()} on \S+ since 20\S+: wait until it has finished"
        )
        with pytest.raises(CacheError, match=message), exclusive(target):
            pass
        with exclusive(target.with_name("y.h5")):
            pass
    assert list(target.parent.iterdir()) == []
    with pytest.raises(ZeroDivisionError), exclusive(target):
        raise ZeroDivisionError
    assert list(target.parent.iterdir()) == []
    with exclusive(target):
        assert len(list(target.parent.iterdir())) == 1


HOLDER = """
import errno, fcntl, os, sys, time
from pathlib import Path
from gradformer_dgl.support.lock import exclusive
def flock(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")
if sys.argv[2] == "none":
    fcntl.flock = flock
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("locks", ["flock", "none"])
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, monkeypatch, locks):
    if locks == "none":
        monkeypatch.setattr(fcntl, "flock", raise_enolck)
    target = tmp_path / "x.h5"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), target, locks], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheError, match=f"is being written by process {holder.pid} on "):
            exclusive(target).__enter__()
        holder.send_signal(signal.SIGKILL)
    with exclusive(target):
        pass
    assert list(tmp_path.iterdir()) == []


def raise_enolck(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_holder_on_another_machine_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", raise_enolck)
    left = tmp_path / "x.h5.locked"
    left.write_text("process 1 on elsewhere since 2026-01-01T00:00:00+00:00\n")
    message = (
        "is being written by process 1 on elsewhere since 2026-01-01T00:00:00+00:00: wait until it has "
        f"finished, or remove {left} if that process has ended"
    )
    with pytest.raises(CacheError, match=re.escape(message)), exclusive(tmp_path / "x.h5"):
        pass
    assert left.exists()


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.EACCES, "; choose a folder that you may write to"), (errno.ENOSPC, "")]
)
def test_the_reason_is_the_systems(tmp_path, monkeypatch, number, advice):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.os, "open", refuse)
    with pytest.raises(CacheError) as caught, exclusive(tmp_path / "x.h5"):
        pass
    assert str(caught.value) == f"cannot write {tmp_path / 'x.h5'}: {os.strerror(number)}{advice}"


def test_many_processes_without_locks(tmp_path):
    """One writes at a time: each finds what the one before has left."""
    code = textwrap.dedent(
        """
        import fcntl, sys, time
        from pathlib import Path
        from gradformer_dgl.support.errors import CacheError
        from gradformer_dgl.support.lock import exclusive
        def flock(descriptor, operation):
            raise OSError(37, "No locks available")
        fcntl.flock = flock
        count = Path(sys.argv[1])
        for _ in range(20):
            while True:
                try:
                    with exclusive(count):
                        found = int(count.read_text())
                        time.sleep(0.002)
                        count.write_text(str(found + 1))
                    break
                except CacheError:
                    time.sleep(0.001)
        """
    )
    count = Path(tmp_path / "count")
    count.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", code, count]) for _ in range(4)]
    deadline = time.monotonic() + 120
    assert [worker.wait(max(1, deadline - time.monotonic())) for worker in workers] == [0] * 4
    assert count.read_text() == "80"
