"""Files of named tensors with metadata: safetensors, whole or absent, never unpickled.

The metadata of a file holds its own SHA-256: that of the file with zeros in the place of the digest. A file
cannot lose it on the way, and is replaced together with it.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gradformer_dgl.support.atomic_write import drafted
from gradformer_dgl.support.errors import RunError, one_line
from gradformer_dgl.support.json_text import json_text

# One string of JSON: safetensors writes several in any order, and the same tensors are to be the same bytes.
_DIGEST = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')
_HAS_DIGEST = b'\\"checked\\": \\"sha256\\"'
"""A file with this has a digest, or is broken; those of older versions have neither."""
_BLANK = "0" * 64
_CHUNK = 1 << 20


def save_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Save named tensors and JSON metadata as safetensors, whole or not at all: an earlier file stays."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = metadata | {"checked": "sha256", "sha256": _BLANK}
    try:
        with drafted(file) as draft:
            save_file(plain, draft, metadata={"facts": json_text(facts)})
            _, computed, place = _digests(draft)
            with draft.open("r+b") as stream:
                stream.seek(place)
                stream.write(computed.encode())
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} cannot be written: {one_line(error)}") from None


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load tensors by name, on the CPU, and the metadata that :func:`save_tensors` saved with them.

    RunError where the file is missing, or is not what was written. Of a file without a digest, which an older
    version wrote, the structure alone is checked.
    """
    if not file.is_file():
        raise RunError(f"no {file.name} in {file.parent}: the run was not started or not finished there")
    try:
        saved, computed, _ = _digests(file)
        if saved not in (None, computed):
            raise ValueError("its content is not what was written")
        with safe_open(file, framework="pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get("facts", "{}"))
            if not isinstance(metadata, dict):
                raise ValueError("its metadata is no table")
            metadata = {key: value for key, value in metadata.items() if key not in ("checked", "sha256")}
            return {name: stored.get_tensor(name) for name in stored.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} is broken ({one_line(error)}): train the run again") from None


def _digests(file: Path) -> tuple[str | None, str, int]:
    """Return the digest that a file holds, if any, the one that it should hold, and the place of it."""
    with file.open("rb") as stream:
        start = stream.read(8)
        # Beyond this there is no header, and the digest is of bytes that are no safetensors.
        head = stream.read(min(int.from_bytes(start, "little"), file.stat().st_size))
        found = _DIGEST.search(head)
        if found is None and _HAS_DIGEST in head:
            raise ValueError("its digest is no digest")
        first, last = found.span(1) if found else (0, 0)
        digest = hashlib.sha256(start + head[:first] + (_BLANK.encode() if found else b"") + head[last:])
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return found[1].decode() if found else None, digest.hexdigest(), len(start) + first
