from collections.abc import Callable
from pathlib import Path

import pytest

TINY = {
    # graph 1: a triangle with a tail; graph 2: one edge; graph 3: one node
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n1, 3\n3, 1\n3, 4\n4, 3\n5, 6\n6, 5\n",
    "graph_indicator": "1\n1\n1\n1\n2\n2\n3\n",
    "graph_labels": "7\n-1\n7\n",
    "node_labels": "5\n0\n0\n2\n5\n5\n2\n",
    "edge_labels": "3\n3\n1\n1\n3\n3\n4\n4\n1\n1\n",
}


@pytest.fixture(autouse=True)
def _no_kept_molecules(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read nor write what the user keeps in the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def write_tu(tmp_path: Path) -> Callable[..., Path]:
    """Write a small data set TINY in the TU format, with some files replaced; None leaves one out."""

    def write(folder: str = "TINY", **replaced: str | None) -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        for part, text in (TINY | replaced).items():
            if text is not None:
                (target / f"TINY_{part}.txt").write_text(text)
        return tmp_path

    return write
