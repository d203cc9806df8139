"""Lock of a file for one writer at a time."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from gradformer_dgl.support.errors import CacheError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the right to write ``path``, or raise a `CacheError` that says who holds it.

    The lock is the operating system's, on a file beside the target: it vanishes with its process.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(lock)
    except BlockingIOError:
        holder = ""
        with contextlib.suppress(OSError):
            holder = lock.read_text().strip()
        raise CacheError(
            f"{path} is being written by {holder or 'another process'}: wait until it has finished"
        ) from None
    except OSError as error:
        raise CacheError(
            f"cannot write {path}: {error.strerror}; choose a folder that you may write to"
        ) from error
    try:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed the file between our opening and our locking it.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == lock.stat().st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
