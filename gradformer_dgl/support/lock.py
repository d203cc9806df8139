"""Lock of a file for one writer at a time."""

import contextlib
import datetime
import errno
import fcntl
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from gradformer_dgl.support.errors import CacheError

# A folder that may not be written, or is a file.
_OF_FOLDERS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the right to write ``path``, or raise a `CacheError` that says who holds it.

    The lock is the operating system's, on a file beside the target: it vanishes with its process. On a file
    system that has no such locks, it is a file that only one process can create. One that a killed process
    left is removed where that process ran on this machine.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        release = _hold(path)
    except OSError as error:
        advice = "; choose a folder that you may write to" if error.errno in _OF_FOLDERS else ""
        raise CacheError(f"cannot write {path}: {error.strerror}{advice}") from error
    with release:
        yield


def _hold(path: Path) -> contextlib.ExitStack:
    lock = path.with_name(path.name + ".lock")
    release = contextlib.ExitStack()
    try:
        descriptor = _flocked(lock)
    except BlockingIOError:
        raise CacheError(
            f"{path} is being written by {_content(lock) or 'another process'}: wait until it has finished"
        ) from None
    if descriptor is None:
        lock = path.with_name(path.name + ".locked")
        descriptor = _created(lock, path)
    release.callback(os.close, descriptor)
    release.callback(_remove, lock)
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_this_process()}\n".encode(), 0)
    return release


def _flocked(lock: Path) -> int | None:
    """Return a descriptor with a lock of the operating system, None where the file system has none."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed the file between our opening and our locking it.
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == lock.stat().st_ino:
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            os.close(descriptor)
            _remove(lock)
            return None
        os.close(descriptor)


def _created(lock: Path, path: Path) -> int:
    """Return a descriptor of a file that this process alone has created."""
    while True:
        try:
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            seen = _inode(lock)
            holder = _content(lock)
            if not _is_gone(holder):
                raise CacheError(
                    f"{path} is being written by {holder or 'another process'}: wait until it has finished, "
                    f"or remove {lock} if that process has ended"
                ) from None
            # Moved first: of two processes that see it one removes it, and puts back what is newer.
            stale = lock.with_name(f"{lock.name}.{secrets.token_hex(4)}")
            with contextlib.suppress(FileNotFoundError):
                lock.rename(stale)
            if _inode(stale) != seen:
                with contextlib.suppress(OSError):
                    os.link(stale, lock)
            _remove(stale)


def _this_process() -> str:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now}"


def _is_gone(holder: str) -> bool:
    """Return whether the process that a lock names ran on this machine, and has ended."""
    named = re.match(r"process (\d+) on (\S+)", holder)
    if named is None or named[2] != socket.gethostname():
        return False
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _content(lock: Path) -> str:
    with contextlib.suppress(OSError):
        return lock.read_text(errors="replace").strip()
    return ""


def _inode(file: Path) -> int | None:
    with contextlib.suppress(OSError):
        return file.stat().st_ino
    return None


def _remove(lock: Path) -> None:
    with contextlib.suppress(OSError):
        lock.unlink()
