"""Data sets in the TU format that are broken."""

import random
import zipfile
from pathlib import Path

from faults import ANY, MISTAKE, QUICK, SAME, Case, break_bytes, make_something_else

NEEDED = ["A", "graph_indicator", "graph_labels", "node_labels"]
WORDS = [
    "0",
    "-1",
    "99999999",
    "9" * 30,
    "abc",
    "1.5",
    "nan",
    "",
    "1e3",
    "\0",
    "٣",
    "+",
    "1 2 3",
    "2147483648",
]
HARMLESS = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "blank lines at the end": lambda text: text + "\n\n",
    "no last line end": lambda text: text.rstrip("\n"),
    "blanks": lambda text: text.replace("\n", " \n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "tabs": lambda text: text.replace(", ", ",\t"),
}


def make(draw: random.Random, sound, place: Path) -> Case:
    """Preprocess, train or predict a folder or zip in the TU format."""
    folder = sound.copied("raw/SHAPES", place / "raw")
    verb = draw.choice(["preprocess", "train", "predict"])
    file = folder / f"SHAPES_{draw.choice(NEEDED)}.txt"
    text = file.read_text()
    lines = text.splitlines()

    def command(root: Path) -> list[str]:
        where = ["SHAPES", "--data-root", str(root)]
        own = place / f"of-{root.parent.name}"
        if verb == "preprocess":
            return ["preprocess", *where, "--cache-dir", str(own), "--encodings", "rwse:3", "--jobs", "1"]
        if verb == "train":
            run = ["--cache-dir", "cache", "--out", str(own), *QUICK]
            return ["train", *where, *run]
        inner = root / "SHAPES"
        return ["predict", "runs/SHAPES", str(inner / "SHAPES.zip" if zipped else inner), "-o", "-"]

    zipped = False
    share = draw.random()
    expected, sound_command = ANY, None
    if share < 0.2:
        what = draw.choice(list(HARMLESS))
        file.write_bytes(HARMLESS[what](text).encode())
        expected, sound_command = SAME, command(sound.folder / "raw")
    elif share < 0.55:
        row, word = draw.randrange(len(lines)), draw.choice(WORDS)
        cells = lines[row].split(", ")
        cells[draw.randrange(len(cells))] = word
        lines[row] = ", ".join(cells)
        what = f"{file.name} has {word!r} in line {row + 1}"
        file.write_bytes(("\n".join(lines) + "\n").encode())
    elif share < 0.7:
        change = draw.choice(["shorter", "longer", "column", "blank", "shuffled"])
        row = draw.randrange(1, len(lines) - 1)
        if change == "shorter":
            lines = lines[:row]
        elif change == "longer":
            lines += lines[: draw.randint(1, 20)]
        elif change == "column":
            lines[row] += ", 1"
        elif change == "blank":
            lines.insert(row, "")
        else:
            draw.shuffle(lines)
        what = f"{file.name} {change} at line {row + 1}"
        file.write_text("\n".join(lines) + "\n")
        expected = MISTAKE if change in ("blank", "column") and verb != "predict" else ANY
    elif share < 0.8:
        what = make_something_else(draw, file)
        # Labels of graphs are not asked for in a prediction, and those of nodes may be left out elsewhere.
        optional = {"predict": "graph_labels"}.get(verb, "node_labels")
        expected = ANY if optional in file.name else MISTAKE
    elif share < 0.9:
        what = break_bytes(draw, file)
    else:
        zipped = True
        with zipfile.ZipFile(place / "raw" / "SHAPES.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for one in folder.iterdir():
                archive.write(one, f"SHAPES/{one.name}")
        for one in list(folder.iterdir()):
            one.unlink()
        (place / "raw" / "SHAPES.zip").rename(folder / "SHAPES.zip")
        what = break_bytes(draw, folder / "SHAPES.zip")
    return Case(what, command(place / "raw"), expected, sound_command)
