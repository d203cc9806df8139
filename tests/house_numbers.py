"""The size and shape of a checkout: rooms, arrows, lines, arguments, words of the README.

`python tests/house_numbers.py [FOLDER ...]` prints a table, one column for each folder, to compare checkouts.
It reads source files alone and imports nothing of the package.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "gradformer_dgl"
# Folders of the package that stand beside it, at the top of the repository.
OUTSIDE = ("preprocess", "cache")
MANY = 12


@dataclass(frozen=True)
class Module:
    """One source file.

    Parameters
    ----------
    name : str
        Its parts after the package's name, joined by points; "" for the package itself.
    file : Path
        Where it is.
    """

    name: str
    file: Path

    @property
    def room(self) -> str:
        """Folder or flat module right below the package; "" for the package itself."""
        return self.name.split(".")[0]

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())


def modules(root: Path) -> list[Module]:
    """Return the modules of the package in a checkout, each file once."""
    folders = {PACKAGE: root / PACKAGE} | {f"{PACKAGE}.{name}": root / name for name in OUTSIDE}
    found = {}
    for prefix, folder in folders.items():
        for file in sorted(folder.rglob("*.py")):
            parts = [*prefix.split("."), *file.relative_to(folder).with_suffix("").parts]
            if parts[-1] == "__init__":
                del parts[-1]
            found.setdefault(file.resolve(), Module(".".join(parts[1:]), file))
    return list(found.values())


def imported(module: Module, known: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports, also within functions."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.partition(".")[2] in known else node.module for name in inner]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                yield rest


def arrows(found: list[Module]) -> set[tuple[str, str]]:
    """Return the pairs (room, room that it imports); the package's own names belong to no room."""
    known = {module.name for module in found}
    pairs = {(module.room, name.split(".")[0]) for module in found for name in imported(module, known)}
    return {(room, other) for room, other in pairs if room and other and room != other}


def argument_counts(module: Module) -> list[int]:
    """Return the number of arguments of each function, without self and cls."""
    functions = (
        node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    names = (
        [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        for node in functions
    )
    return [len([name for name in each if name not in ("self", "cls")]) for each in names]


def numbers(root: Path) -> dict[str, str]:
    """Return the numbers of a checkout by name."""
    found = modules(root)
    folders = {module.room for module in found if module.file.name == "__init__.py"} - {""}
    flat = {module.room for module in found} - folders - {""}
    counts = [count for module in found for count in argument_counts(module)]
    longest = max(found, key=lambda module: module.lines)
    readme = (root / "README.md").read_text(encoding="utf-8")
    pairs = arrows(found)
    return {
        "rooms (folders and flat modules)": str(len(folders | flat)),
        "flat modules": str(len(flat)),
        "arrows between rooms": str(len(pairs)),
        "pairs of rooms that import each other": str(sum((b, a) in pairs for a, b in pairs) // 2),
        "files": str(len(found)),
        "lines of the package": f"{sum(module.lines for module in found):,}",
        "longest file": f"{longest.lines} ({longest.name})",
        "files beyond 300 lines": str(sum(module.lines > 300 for module in found)),
        f"functions with more than {MANY} arguments": str(sum(count > MANY for count in counts)),
        "functions with ten arguments or more": str(sum(count >= 10 for count in counts)),
        "most arguments of a function": str(max(counts)),
        "lines of the README": str(len(readme.splitlines())),
        "words of the README": f"{len(readme.split()):,}",
    }


def main(folders: list[str]) -> None:
    """Print a Markdown table of some checkouts."""
    columns = {folder: numbers(Path(folder)) for folder in folders}
    print(f"| | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(column[name] for column in columns.values())} |")


if __name__ == "__main__":
    main(sys.argv[1:] or [str(Path(__file__).resolve().parents[1])])
