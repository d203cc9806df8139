"""Guard that keeps DGL's GraphBolt out where it would keep DGL from being imported.

DGL 2.x imports GraphBolt, its sampler for huge graphs, whose compiled library exists for those releases of
torch only that were current when DGL was built; with any other torch ``import dgl`` fails. Nothing of this
package needs it. For Python 3.12 there is no other DGL in the registry than 2.1.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_NAME = "dgl.graphbolt"


class AbsentGraphBolt(ModuleType):
    """Stands in for GraphBolt, and says so to whoever wants something of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(
            f"GraphBolt has no {name} here: the installed DGL has no GraphBolt for the installed torch"
        )


def keep_graphbolt_out() -> None:
    """Let ``import dgl`` pass GraphBolt by, where it is there but has no library for the installed torch."""
    if "dgl" in sys.modules or _NAME in sys.modules:
        return
    found = importlib.util.find_spec("dgl")
    if found is None or found.origin is None:
        return
    libraries = (Path(found.origin).parent / "graphbolt").glob("*graphbolt_pytorch_*")
    built_for = {file.stem.rpartition("_")[2] for file in libraries}
    if built_for and _release_of_torch() not in built_for:
        sys.modules[_NAME] = AbsentGraphBolt(_NAME)


def _release_of_torch() -> str:
    # Without importing it, which takes seconds.
    import importlib.metadata

    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""
