"""The code blocks of Markdown pages."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(
    r"^```(?P<kind>\{[\w-]+\})? ?(?P<language>\S*)\n(?P<options>(?::[\w-]+:[^\n]*\n)*)(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`(gradformer-dgl [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that its caption names, and where its text begins."""

    language: str
    file: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page; what a directive includes is none."""
    content = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(content):
        if match["kind"] not in (None, "{code-block}"):
            continue
        caption = re.search(r":caption: (\S+)", match["options"])
        line = content.count("\n", 0, match.start("text")) + 1
        found.append(Block(match["language"], caption[1] if caption else "", match["text"], line))
    return found


def commands(text: str) -> list[list[str]]:
    """Return the words of each command of a shell block, up to a pipe; comments are none."""
    lines = (shlex.split(line.replace("$(", "").replace(")", ""), comments=True) for line in text.split("\n"))
    return [words[: words.index("|")] if "|" in words else words for words in lines if words]


def inline_commands(page: Path) -> list[str]:
    """Return the commands within the lines of a page, in one line each."""
    content = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(match[1].split()) for match in _INLINE.finditer(content)]


def pages() -> list[Path]:
    """Return all pages that are written by hand."""
    readmes = [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "benchmarks" / "README.md"]
    return sorted(DOCS.rglob("*.md")) + readmes


def named(page: Path) -> str:
    """Return the path of a page within the project."""
    return str(page.relative_to(ROOT))
