"""Write a file so that it is whole or not there: into a draft beside it, which then takes its name."""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gradformer_dgl.support.errors import RunError

_DRAFT = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def drafted(file: Path, durable: bool = True) -> Iterator[Path]:
    """Give a draft to write to, which takes the place of the file when the block ends without an error.

    The file can be read by whom the umask says, also where a library writes files for its user alone. With
    ``durable``, a loss of power leaves the old file or the new one.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("xb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        yield draft
        # A library may have put a file of its own, of another mode, in the place of the empty one.
        if stat.S_IMODE(draft.stat().st_mode) != mode:
            draft.chmod(mode)
        if durable:
            sync(draft)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_atomically(
    file: Path, content: str | bytes | Callable[[Path], object], durable: bool = True
) -> None:
    """Write text, bytes, or what a function saves to the path that it is given; see :func:`drafted`."""
    with drafted(file, durable) as draft:
        if callable(content):
            content(draft)
        else:
            # Not emptied again when it is opened: ext4 would write it to the disk when it is closed.
            with draft.open("r+b") as stream:
                stream.write(content if isinstance(content, bytes) else content.encode())


def write_whole(file: Path, content: str) -> None:
    """Write a text file that a user asked for: what the system refuses is an error in one line."""
    with whole_file(file) as stream:
        stream.write(content)


@contextlib.contextmanager
def whole_file(file: Path) -> Iterator[IO[str]]:
    """Open such a text file for writing; its content takes its name when all of it is on the disk."""
    try:
        with drafted(file) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that processes which were killed have left in a folder."""
    for file in folder.glob(".*.tmp"):
        if _DRAFT.fullmatch(file.name):
            file.unlink(missing_ok=True)
