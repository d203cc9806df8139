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
    """Return the words of each command of a shell block, up to a pipe; comments and output are none."""
    lines = [line[2:] if line.startswith("$ ") else line for line in command_lines(text)]
    split = (shlex.split(line.replace("$(", "").replace(")", ""), comments=True) for line in lines)
    return [words[: words.index("|")] if "|" in words else words for words in split if words]


def command_lines(text: str) -> list[str]:
    """Return the lines after a prompt, or all lines where there is none."""
    lines = text.split("\n")
    return [line for line in lines if line.startswith("$ ")] or lines


def shown_output(text: str) -> list[tuple[str, list[str]]]:
    """Return each command of a block with prompts, and the lines of output below it."""
    parts = re.split(r"^\$ (.*)$", text, flags=re.MULTILINE)
    return [(line, output.split("\n")) for line, output in zip(parts[1::2], parts[2::2], strict=True)]


def first_element(page: Path) -> str:
    """Return the element of a page after its title and at most one sentence.

    Returns
    -------
    str
        "code", "picture", "pages" for a list of pages, or the text that stands there.
    """
    parts = [part for part in _read(page).strip().split("\n\n") if not part.startswith("<!--")]
    assert parts[0].startswith("# "), f"{named(page)} does not begin with a title"
    if is_sentence(parts[1]):
        del parts[1]
    for kind, begin in (("pages", "```{toctree}"), ("code", "```"), ("picture", "![")):
        if parts[1].startswith(begin):
            return kind
    return parts[1]


def is_sentence(text: str) -> bool:
    """Return whether a paragraph is one sentence, which ends with a full stop or a colon."""
    plain = re.sub(r"`[^`]*`|\([^)]*\)", "", " ".join(text.split()))
    is_text = not re.match(r"```|!\[|[#|]|- ", text)
    return is_text and plain.endswith((".", ":")) and not re.search(r"[.!?:] [A-Z]", plain)


def _read(page: Path) -> str:
    """Return a page with the page that it includes."""
    content = page.read_text(encoding="utf-8")
    found = re.fullmatch(r"```\{include\} (\S+)\n```\n", content)
    return (page.parent / found[1]).read_text(encoding="utf-8") if found else content


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
