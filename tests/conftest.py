import os
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

os.environ.setdefault("DGLBACKEND", "pytorch")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def annotated_modules() -> list[str]:
    """Return the modules that name the axes of their tensors; these are checked at every call."""
    modules = []
    for package, folder in [
        ("gradformer_dgl", ROOT / "gradformer_dgl"),
        ("gradformer_dgl.preprocess", ROOT / "preprocess"),
        ("gradformer_dgl.cache", ROOT / "cache"),
    ]:
        for file in sorted(folder.rglob("*.py")):
            name = ".".join((package, *file.relative_to(folder).with_suffix("").parts))
            if file.stem != "__init__" and "from jaxtyping import" in file.read_text(encoding="utf-8"):
                modules.append(name)
    return modules


jaxtyping.install_import_hook(annotated_modules(), "beartype.beartype")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the benchmark data."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no benchmark data: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Arrays computed once with the published implementation."""
    file = SHARED / "golden" / "gradformer_golden.npz"
    if not file.is_file():
        pytest.skip(f"no reference arrays: {file} is absent")
    with np.load(file) as archive:
        return {name: archive[name] for name in archive.files}
