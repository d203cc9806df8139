"""Generated parts of pages: tables of results, and presets.

A page has a line ``<!-- generated: NAME -->``; the function of that name returns the text in its place.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def result_tables() -> str:
    """Include every table in results/, the main one first."""
    files = sorted((ROOT / "results").glob("*.md"), key=lambda file: (file.stem != "main", file.stem))
    options = ":heading-offset: 1\n:relative-images:"
    return "\n\n".join(f"```{{include}} ../results/{file.name}\n{options}\n```" for file in files)


def presets() -> str:
    """Show the file of every preset."""
    parts = []
    for file in sorted((ROOT / "gradformer_dgl" / "presets").glob("*.yaml")):
        path = f"../gradformer_dgl/presets/{file.name}"
        parts.append(f"## `{file.stem}`\n\n```{{literalinclude}} {path}\n:language: yaml\n```")
    return "\n\n".join(parts)


GENERATED: dict[str, Callable[[], str]] = {"result_tables": result_tables, "presets": presets}


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace each mark by its text."""
    source[0] = MARK.sub(lambda mark: GENERATED[mark[1]](), source[0])


def plain_paths(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Write a default that is a path as users type it."""
    lines[:] = [re.sub(r"PosixPath\('(.*?)'\)", r"'\1'", line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Fill in the marks as pages are read, and write paths as users type them."""
    app.connect("sphinx-click-process-options", plain_paths)
    app.connect("source-read", fill_in)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
