"""Files from the web, whole or not at all."""

import http.client
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO

from gradformer_dgl.errors import DataError

_PIECE = 1 << 20
_TIMEOUT = 30.0


class NotFoundError(DataError):
    """The server has no such file."""


def default_folder() -> Path:
    """Where data is downloaded to if no folder is given: ``~/.cache/gradformer_dgl``.

    ``XDG_CACHE_HOME`` moves it, as usual.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradformer_dgl"


def download_zip(url: str, target: Path) -> Path:
    """Download a zip file.

    Parameters
    ----------
    url : str
        Where from.
    target : Path
        The file to be; its folder is made. It appears under this name only when it is whole.

    Returns
    -------
    Path
        ``target``.

    Raises
    ------
    NotFoundError
        If the server has no such file.
    DataError
        If there is no connection, what came is not a zip, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise DataError(
            f"cannot write to {target.parent} ({error.strerror}); choose another data folder"
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(url, file, target)
        if not zipfile.is_zipfile(part):
            raise DataError(f"what {url} sent is not a zip file; get it by hand and put it at {target}")
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _copy(url: str, file: IO[bytes], target: Path) -> None:
    by_hand = f"get it by hand and put it at {target}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            expected = response.headers.get("Content-Length")
            while piece := response.read(_PIECE):
                file.write(piece)
    except urllib.error.HTTPError as error:
        kind = NotFoundError if error.code == 404 else DataError
        raise kind(f"{url} answers {error.code} {error.reason}; {by_hand}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot download {url} ({reason}); {by_hand}") from error
    if expected is not None and file.tell() != int(expected):
        raise DataError(f"{url} broke off after {file.tell()} of {expected} bytes; try again, or {by_hand}")
