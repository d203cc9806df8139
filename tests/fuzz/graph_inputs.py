"""Files of single graphs to predict that are broken."""

import random
from pathlib import Path

from faults import ANY, MISTAKE, SAME, Case, break_bytes, make_something_else

WORDS = {
    "ring.graphml": [
        "</node>",
        "<node/>",
        "&bomb;",
        '<edge source="0"/>',
        '<node id="0"/>',
        "<hyperedge/>",
        "<",
        "]]>",
    ],
    "ring.edgelist": [
        "a b c",
        "#",
        "\0",
        "1,2",
        "1;2",
        "-1 -2",
        "1 1",
        "\ufeff1 2",
        "nan inf",
        "0 1 {'w': 2}",
    ],
}
HEADS = [
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY bomb "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    '<!DOCTYPE x [<!ENTITY bomb SYSTEM "file:///etc/hostname">]>',
    '<?xml version="1.0" encoding="utf-7"?>',
    '<?xml version="1.1"?>',
]


def make(draw: random.Random, sound, place: Path) -> Case:
    """Predict a DGL file, GraphML or a list of edges."""
    name = draw.choice(["rings.bin", "rings.bin", "ring.graphml", "ring.edgelist"])
    file = sound.copied(name, place)
    expected, sound_command, share = ANY, None, draw.random()
    command = ["predict", "runs/rings", str(file), "-o", "-"]
    if share < 0.1:
        what, expected = make_something_else(draw, file), MISTAKE if name == "rings.bin" else ANY
    elif share < 0.4 and name in WORDS:
        lines = file.read_text().split("\n")
        row, word = draw.randrange(len(lines)), draw.choice(WORDS[name])
        lines.insert(row, word)
        file.write_text("\n".join(lines))
        what = f"{word!r} in line {row + 1}"
    elif share < 0.55 and name == "ring.graphml":
        what = draw.choice(HEADS)
        file.write_text(what + file.read_text().partition("?>")[2].replace('id="3"', 'id="&bomb;"'))
    elif share < 0.55 and name == "ring.edgelist":
        what, expected = "CRLF and comments", SAME
        file.write_bytes(b"# a comment\r\n" + file.read_bytes().replace(b"\n", b"  # more\r\n"))
        sound_command = [*command[:2], name, *command[3:]]
    else:
        what = ", ".join(break_bytes(draw, file) for _ in range(draw.choice([1, 1, 2, 4])))
    return Case(what, command, expected, sound_command)
