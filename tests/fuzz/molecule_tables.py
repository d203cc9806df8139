"""CSV files of molecules that are broken."""

import gzip
import random
from pathlib import Path

from faults import ANY, MISTAKE, QUICK, SAME, Case, break_bytes, make_something_else

TRAIN = ["--target-column", "y", "--cache-dir", "cache", *QUICK]
HARMLESS = {
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "line ends of several kinds": lambda text: text.replace("\n", "\r\n", 7).encode(),
    "empty lines": lambda text: (text.replace("\n", "\n\n", 9) + "\n\n").encode(),
    "quotes": lambda text: text.replace("m3,", '"m3",').encode(),
    "comma in quotes": lambda text: text.replace("m3,", '"m, 3",').encode(),
    "line end in quotes": lambda text: text.replace("m3,", '"m\n3",').encode(),
    "blanks": lambda text: text.replace(",", " , ").encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "SMILES in capitals": lambda text: text.replace("smiles", "SMILES", 1).encode(),
    "other letters": lambda text: text.replace("m3,", "mü€𝄞3,").encode(),
}
FAULTS = {
    "Latin-1": lambda text, draw: text.replace("m3", "mü3").encode("latin-1"),
    "UTF-16": lambda text, draw: text.encode("utf-16"),
    "no smiles": lambda text, draw: text.replace("smiles", "molecule", 1).encode(),
    "smiles twice": lambda text, draw: text.replace("name", "smiles", 1).encode(),
    "a cell too few": lambda text, draw: text.replace(",a,train\n", ",train\n", 1).encode(),
    "a cell too many": lambda text, draw: text.replace(",a,train\n", ",a,b,train\n", 1).encode(),
    "header alone": lambda text, draw: text.split("\n")[0].encode(),
    "no header": lambda text, draw: text.partition("\n")[2].encode(),
    "a huge cell": lambda text, draw: text.replace("m3,", "m" * 200_000 + ",").encode(),
    "no molecules": lambda text, draw: ("smiles,y\n" + "x?,1.5\n" * 9).encode(),
    "other separator": lambda text, draw: text.replace(",", draw.choice(";\t|")).encode(),
}
LABELS = ["inf", "-inf", "1e400", "abc", "0x10", "1_000", "1e39", "١", "nan(3)", "--1", "1,5", "Infinity"]
UNCERTAIN = ["NUL byte", "quote left open", "missing labels", "odd SMILES", "one row", "bytes", "gzip"]
ODD_SMILES = [
    "C" * 1500,
    "C(" * 300,
    "[" * 50,
    "C\0C",
    "*",
    ".",
    "[Og]",
    "C1CC",
    "%%%",
    "[999C]",
    "C.C.C",
    "[H][H]",
]


def _uncertain(kind: str, text: str, draw: random.Random, file: Path) -> str:
    rows = text.split("\n")
    row = draw.randrange(1, len(rows) - 1)
    if kind == "NUL byte":
        file.write_bytes(text.replace("m3", "m\0").encode())
    elif kind == "quote left open":
        rows[row] = '"' + rows[row]
    elif kind == "missing labels":
        cells = [line.split(",") for line in rows[1:-1]]
        rows[1:-1] = [
            ",".join([*one[:2], one[2] if draw.random() < 0.5 else draw.choice(["", "nan", "NaN"]), *one[3:]])
            for one in cells
        ]
    elif kind == "odd SMILES":
        name, _, *others = rows[row].split(",")
        rows[row] = ",".join([name, draw.choice(ODD_SMILES), *others])
    elif kind == "one row":
        rows = [*rows[:2], ""]
    if kind != "NUL byte":
        file.write_bytes("\n".join(rows).encode())
    return f"{kind} in line {row + 1}"


def make(draw: random.Random, sound, place: Path) -> Case:
    """Preprocess, train or predict a CSV file."""
    file = sound.copied("mine.csv", place)
    text = file.read_text()
    verb = draw.choice(["preprocess", "train", "predict"])

    def command(path: Path) -> list[str]:
        out = path.parent if path.parent != sound.folder else place
        if verb == "preprocess":
            options = [
                "--cache-dir",
                str(out / f"of-{path.parent.name}"),
                "--encodings",
                "rwse:3",
                "--jobs",
                "1",
            ]
            return ["preprocess", str(path), *options]
        if verb == "train":
            return ["train", str(path), *TRAIN, "--out", str(out / f"run-of-{path.parent.name}")]
        return ["predict", "runs/mine", str(path), "-o", "-"]

    share = draw.random()
    sound_command = None
    if share < 0.3:
        what = draw.choice(list(HARMLESS))
        file.write_bytes(HARMLESS[what](text))
        # The table of predictions has the name of the column.
        expected = ANY if verb == "predict" and what == "SMILES in capitals" else SAME
        sound_command = command(sound.folder / "mine.csv")
    elif share < 0.55:
        what, expected = draw.choice(list(FAULTS)), MISTAKE
        file.write_bytes(FAULTS[what](text, draw))
        if what == "a huge cell" or (what == "other separator" and verb != "train"):
            expected = ANY
    elif share < 0.65 and verb == "train":
        label = draw.choice(LABELS)
        what, expected = f"the label {label}", ANY if label in ("1_000", "1e39", "١") else MISTAKE
        rows = text.split("\n")
        cells = rows[5].split(",")
        rows[5] = ",".join([*cells[:2], label, *cells[3:]])
        file.write_bytes("\n".join(rows).encode())
    elif share < 0.7:
        what, expected = make_something_else(draw, file), MISTAKE
    else:
        what, expected = draw.choice(UNCERTAIN), ANY
        if what == "bytes":
            what = break_bytes(draw, file)
        elif what == "gzip":
            file = file.with_suffix(".csv.gz")
            file.write_bytes(gzip.compress(text.encode()))
            what = break_bytes(draw, file)
        else:
            what = _uncertain(what, text, draw, file)
    return Case(what, command(file), expected, sound_command)
