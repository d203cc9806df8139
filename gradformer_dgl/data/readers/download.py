"""Downloads of zip files, and the folder that they go to."""

import contextlib
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradformer_dgl.support.atomic_write import drafted
from gradformer_dgl.support.errors import DataError, one_line

_TIMEOUT = 30.0
_logger = logging.getLogger("gradformer_dgl")


class NotFoundError(DataError):
    """The server has no such file."""


def default_folder() -> Path:
    """Return the folder for downloads, ``~/.cache/gradformer_dgl`` or below ``XDG_CACHE_HOME``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradformer_dgl"


def download_zip(url: str, target: Path) -> Path:
    """Download a zip file to a path, where it appears only when it is whole.

    :class:`NotFoundError` if the server has no such file, :class:`DataError` for other failures.
    """
    by_hand = f"get it by hand and put it at {target}"
    _logger.info("downloading %s to %s", url, target)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            _store(response, url, target, by_hand)
    except urllib.error.HTTPError as error:
        error.close()
        kind = NotFoundError if error.code == 404 else DataError
        raise kind(f"{url} answers {error.code} {error.reason}; {by_hand}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot download {url} ({reason}); {by_hand}") from error
    return target


def unpack(archive: Path, folder: Path, paths: Iterable[str]) -> None:
    """Unpack some files of a zip in the order given, which are in one folder there or in none."""
    try:
        with zipfile.ZipFile(archive) as content:
            members = {name.partition("/")[2]: name for name in content.namelist()}
            members |= {name: name for name in content.namelist()}
            for path in paths:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content.read(members[path]))
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        reason = one_line(error)
        raise DataError(f"{archive} cannot be unpacked ({reason}); delete it and get it again") from error


def _store(response: Any, url: str, target: Path, by_hand: str) -> None:
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(drafted(target))
        except OSError as error:
            raise DataError(
                f"cannot write to {target.parent} ({error.strerror}); choose another data folder"
            ) from error
        with draft.open("wb") as file:
            shutil.copyfileobj(response, file)
            received = file.tell()
        expected = response.headers.get("Content-Length")
        if expected is not None and received != int(expected):
            raise DataError(f"{url} broke off after {received} of {expected} bytes; try again, or {by_hand}")
        if not zipfile.is_zipfile(draft):
            raise DataError(f"what {url} sent is not a zip file; {by_hand}")
