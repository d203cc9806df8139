"""Files of named tensors with metadata: safetensors, whole or absent, never unpickled."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gradformer_dgl.support.atomic_write import drafted
from gradformer_dgl.support.errors import RunError, one_line
from gradformer_dgl.support.json_text import json_text


def save_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Save named tensors and JSON metadata as safetensors, whole or not at all: an earlier file stays."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with drafted(file) as draft:
            save_file(plain, draft, metadata={"facts": json_text(metadata)})
    except (OSError, SafetensorError) as error:
        raise RunError(f"{file} cannot be written: {one_line(error)}") from None


def load_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load tensors by name, on the CPU, and the metadata that :func:`save_tensors` saved with them."""
    if not file.is_file():
        raise RunError(f"no {file.name} in {file.parent}: the run was not started or not finished there")
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get("facts", "{}"))
            if not isinstance(metadata, dict):
                raise ValueError("its metadata is no table")
            return {name: stored.get_tensor(name) for name in stored.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} is broken ({one_line(error)}): train the run again") from None
