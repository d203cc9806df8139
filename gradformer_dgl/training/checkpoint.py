"""Tensors and a few facts in one file that is whole or absent, and never unpickled."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gradformer_dgl.support.errors import RunError


def remove_drafts(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left in a folder that is ours alone."""
    for file in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", file.name):
            file.unlink(missing_ok=True)


def write_whole(file: Path, content: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    with whole_file(file) as stream:
        stream.write(content)


@contextlib.contextmanager
def whole_file(file: Path) -> Iterator[IO[str]]:
    """Open a text file to write, whose content takes its name when all of it is on the disk.

    Raises
    ------
    RunError
        Where it cannot be written; an earlier file stays as it was, as after any other error.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def save_tensors(file: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Save named tensors and JSON facts in the safetensors format, whole or not at all.

    Raises
    ------
    RunError
        Where the file cannot be written, for example on a full disk; an earlier file stays as it was.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, draft, metadata={"facts": json.dumps(facts)})
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.replace(file)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise RunError(f"{file} cannot be written: {' '.join(str(error).split())}") from None


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load what :func:`save_tensors` saved.

    Returns
    -------
    tuple of dict
        The tensors by name, on the CPU, and the facts.

    Raises
    ------
    RunError
        Where the file is missing or broken.
    """
    if not file.is_file():
        raise RunError(f"no {file.name} in {file.parent}: the run was not started or not finished there")
    try:
        with safe_open(file, framework="pt") as stored:
            facts = json.loads((stored.metadata() or {}).get("facts", "{}"))
            if not isinstance(facts, dict):
                raise ValueError("its facts are no table")
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} is broken ({' '.join(str(error).split())}): train the run again") from None
