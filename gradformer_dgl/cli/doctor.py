"""`gradformer-dgl doctor`."""

import importlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import click

from gradformer_dgl.cli import results
from gradformer_dgl.support.errors import one_line
from gradformer_dgl.support.graphbolt import AbsentGraphBolt
from gradformer_dgl.training.threads import available_processors
from gradformer_dgl.version import __version__

_PACKAGE = "gradformer-dgl"
_FOR_DEVELOPERS = ("bench", "docs", "test")
_MISSING = f"MISSING; `pip install {_PACKAGE}` brings it"


@click.command("doctor")
@results.as_json
def command(as_json: bool) -> None:
    """Show versions, and whether the installation can use the GPU.

    Where something is amiss, the line says what to do.

    Example: gradformer-dgl doctor
    """
    findings = _findings()
    lines = [f"{topic:<16}{finding}" for topic, finding in findings]
    results.print_result(dict(findings), lines, as_json)


def _findings() -> list[tuple[str, str]]:
    """Look at the installation; each finding is a topic and one line."""
    return [
        ("gradformer_dgl", f"{__version__} in {Path(__file__).parents[1]}"),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("machine", f"{platform.machine()}, {_processors()}"),
        *_packages(),
        ("dgl import", _dgl_import()),
        ("gpu", _gpu()),
        ("kernel cache", _kernel_cache()),
    ]


def _processors() -> str:
    usable, there = available_processors(), os.cpu_count() or 1
    return f"{there} processors" if usable == there else f"{usable} of {there} processors may be used"


def _packages() -> list[tuple[str, str]]:
    """Return the versions of what the package requires, then of what its extras for users bring."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return [("packaging", _version("packaging"))]
    try:
        requirements = [Requirement(line) for line in importlib.metadata.requires(_PACKAGE) or ()]
        extras = importlib.metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return [("packages", f"unknown; `pip install {_PACKAGE}` tells which ones it needs")]
    versions: dict[str, str] = {}
    for extra in ("", *(extra for extra in extras if extra not in _FOR_DEVELOPERS)):
        hint = f"not installed; `pip install {_PACKAGE}[{extra}]` where you need it" if extra else _MISSING
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                versions.setdefault(requirement.name, _version(requirement.name, hint))
    return list(versions.items())


def _version(name: str, missing: str = _MISSING) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return missing


def _dgl_import() -> str:
    try:
        importlib.import_module("dgl")
    except Exception as error:
        text = one_line(error)
        return (
            f"FAILS ({type(error).__name__}: {text[:120]}); `pip install dgl==1.1.3` works with any torch on "
            "Python 3.10 and 3.11, environment.yml has DGL 2.4"
        )
    if isinstance(sys.modules.get("dgl.graphbolt"), AbsentGraphBolt):
        return "works; its GraphBolt, which has no build for this torch, is kept out"
    return "works"


def _gpu() -> str:
    try:
        import torch
    except ImportError as error:
        return f"unknown: torch cannot be imported ({error})"
    if not torch.cuda.is_available():
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        )
        return f"none ({built}); training runs on the CPU"
    from gradformer_dgl.graphs.edge_list import dgl_has_graphs_on

    name = torch.cuda.get_device_name(0)
    if dgl_has_graphs_on("cuda"):
        return f"{name}, used by torch and DGL"
    return f"{name}, used by torch; DGL is a CPU build, so torch does the message passing"


def _kernel_cache() -> str:
    from gradformer_dgl.jit.compile import is_kept_on_disk, jit

    if is_kept_on_disk(jit(_probe)):
        return "compiled kernels are kept on disk"
    return "no writable folder, kernels are compiled in every process; set NUMBA_CACHE_DIR to a writable one"


def _probe() -> int:
    return 0
