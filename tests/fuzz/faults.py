"""Ways in which a file can be broken, whatever is in it."""

import gzip
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

QUICK = [
    *("--epochs", "1", "--feat-size", "8", "--num-layers", "1", "--num-heads", "2", "--batch-size", "16"),
    *("--encoding", "rwse:3", "--encoding-mode", "add"),
]
"""A training that takes no time."""
SAME, MISTAKE, ANY = "same", "mistake", "any"
"""What may come of a case: what the sound input gives; one line that says what is wrong; either."""


@dataclass(frozen=True)
class Case:
    """A command to run on inputs that are broken, or only written in another way.

    Parameters
    ----------
    what : str
        What was done to the inputs.
    command : list of str
        The command.
    expected : str
        What may come of it.
    sound : list of str, optional
        The same command for the sound input, where the outcome is to be the same.
    """

    what: str
    command: list[str]
    expected: str = ANY
    sound: list[str] | None = None


def break_bytes(draw: random.Random, file: Path) -> str:
    """Change a file somewhere; return what was done."""
    content = bytearray(file.read_bytes())
    kind = draw.choice(
        ["truncated", "flipped", "replaced", "removed", "doubled", "inserted", "zeroed", "emptied"]
    )
    if kind == "emptied" or not content:
        file.write_bytes(b"")
        return f"{file.name} emptied"
    begin = draw.randrange(len(content))
    end = min(len(content), begin + draw.choice([1, 2, 8, 64]))
    if kind == "truncated":
        del content[begin:]
    elif kind == "flipped":
        content[begin] ^= 1 << draw.randrange(8)
    elif kind == "replaced":
        content[begin:end] = draw.randbytes(end - begin)
    elif kind == "removed":
        del content[begin:end]
    elif kind == "doubled":
        content[begin:begin] = content[begin:end]
    elif kind == "inserted":
        content[begin:begin] = draw.choice([b"\0", b"\xff\xfe", b"\n", b'"', b",", b"9" * 40, b"-1", b"nan"])
    else:
        content[begin:end] = bytes(end - begin)
    file.write_bytes(bytes(content))
    return f"{file.name} {kind} at {begin}"


def make_something_else(draw: random.Random, file: Path) -> str:
    """Put something in the place of a file that it is not at all."""
    kind = draw.choice(["missing", "folder", "empty", "noise", "text", "zip", "gzip"])
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.txt", "nothing")
    elif kind != "missing":
        content = {"empty": b"", "noise": draw.randbytes(500), "text": b"hello\nworld\n"}
        file.write_bytes(content.get(kind) or (gzip.compress(b"hello") if kind == "gzip" else b""))
    return f"{file.name} replaced: {kind}"
