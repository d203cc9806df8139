"""Graphs in files of ``dgl.save_graphs``, which may be broken."""

import contextlib
import faulthandler
import os
import resource
import signal
from pathlib import Path

import dgl

from gradformer_dgl.support.errors import DataError

_MAGIC, _VERSION = 0xDD2E4FF046B4A13F, 2
_SECONDS, _SECONDS_PER_MEGABYTE = 60, 1
_SPARE_MEMORY, _MEMORY_PER_BYTE = 1 << 30, 8


def read_dgl_graphs(file: Path) -> list[dgl.DGLGraph]:
    """Read the graphs of a file of ``dgl.save_graphs``.

    DGL reads them with compiled code that knows numbers and names only: nothing is unpickled. But it believes
    the sizes in the file, and where they are wrong it may end the process. So the file is read by a
    child of this process first, which has a limit of memory and time.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        header = stream.read(32)
    magic, version, _, graphs = (
        int.from_bytes(header[place : place + 8], "little") for place in range(0, 32, 8)
    )
    if magic != _MAGIC or version != _VERSION or not 0 < graphs <= size:
        raise DataError(f"{file} is no file of dgl.save_graphs, or an empty one")
    if not _child_survives(file, size):
        raise DataError(f"{file} is no whole DGL file: save the graphs again")
    try:
        return _load(file)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rpartition(": ")[2]
        raise DataError(f"{file} is no whole DGL file ({reason}): save the graphs again") from None


def _load(file: Path) -> list[dgl.DGLGraph]:
    graphs, _ = dgl.load_graphs(str(file))
    for graph in graphs:
        # The formats and names that are made on demand are looked at here, where errors are expected.
        for kind in graph.canonical_etypes:
            graph.edges(etype=kind)
        dict(graph.ndata), dict(graph.edata)
    loaded: list[dgl.DGLGraph] = graphs
    return loaded


def _child_survives(file: Path, size: int) -> bool:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    status = 0
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_SECONDS + _SECONDS_PER_MEGABYTE * size // 10**6)
        _limit_memory(_SPARE_MEMORY + _MEMORY_PER_BYTE * size)
        # The threads of the parent are not there.
        dgl.utils.set_num_threads(1)
        # What puts the graphs together later is compiled code that believes them, too.
        dgl.batch(_load(file), ndata=None, edata=None)
    except MemoryError:
        status = 1
    finally:
        # Any other error here is one in the parent too, which says it; what ends this process is not seen.
        os._exit(status)


def _limit_memory(more: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = taken + more
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
