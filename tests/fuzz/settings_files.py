"""Files of settings that are broken, and those that would do harm if they were believed."""

import random
from pathlib import Path

from faults import ANY, MISTAKE, QUICK, Case, break_bytes, make_something_else

from gradformer_dgl.training.config import RunConfig

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HARMFUL = {
    "an object": "epochs: !!python/object/apply:os.system ['true']",
    "a module": "epochs: !!python/module:os",
    "a name": "lr: !!python/name:os.system",
    "an unknown tag": "lr: !fast 0.1",
    "a bomb": BOMB,
    "a bomb as a value": BOMB.replace("i: &i", "epochs: &i"),
    "deep nesting": "epochs: " + "[" * 3000,
    "deep nesting, closed": "epochs: " + "[" * 3000 + "]" * 3000,
    "a list that holds itself": "epochs: &a [*a]",
    "a table that holds itself": "&a\nepochs: *a",
    "no table": "- epochs\n- 3",
    "a word": "epochs",
    "a number": "3",
    "a tab": "epochs:\n\t- 3",
    "several documents": "epochs: 1\n---\nepochs: 2\n",
    "a list as a key": "[1, 2]: 3",
    "a table as a key": "{a: b}: 3",
    "an alias of nothing": "epochs: *nothing",
    "no UTF-8": b"epochs: \xff\xfe",
    "UTF-16": "epochs: 1".encode("utf-16-be"),
    "NUL": b"epochs: 1\0",
    "a number as a key": "1: 2",
    "nothing as a key": "~: 2",
    "a date": "lr: 2020-01-01",
    "an impossible date": "lr: 2020-13-45",
    "binary": "lr: !!binary abc",
    "a set": "lr: !!set {a, b}",
    "an endless integer": "epochs: " + "9" * 5000,
    "sexagesimal": "epochs: 190:20:30",
}
VALUES = [
    *("null", "[]", "{}", "''", "word", ".nan", ".inf", "-.inf", "-1", "0", "1e400", "1e3", "true", "'3'"),
    *("[1, 2]", "{a: 1}", "999999999999", "1.5", "2020-01-01", "0x10", "0o17", "-0.0", "1e-320", "~"),
]


def make(draw: random.Random, sound, place: Path) -> Case:
    """Train with a file of settings."""
    file = place / "mine.yaml"
    expected, share = ANY, draw.random()
    names = list(RunConfig().as_dict())
    if share < 0.4:
        what = draw.choice(list(HARMFUL))
        content = HARMFUL[what]
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        expected = ANY if what == "sexagesimal" else MISTAKE
    elif share < 0.75:
        # What could take long where it is a sensible setting is given as an option all the same.
        what = f"{draw.choice(names)}: {draw.choice(VALUES)}"
        file.write_text(what + "\n")
    elif share < 0.85:
        name = list(draw.choice(names))
        place_in_name = draw.randrange(len(name))
        name[place_in_name] = draw.choice("xyz_-é")
        what = f"{''.join(name)}: 1"
        file.write_text(what + "\n")
        expected = ANY if "".join(name) in names else MISTAKE
    elif share < 0.9:
        file.write_text("epochs: 1")
        what, expected = make_something_else(draw, file), ANY
    else:
        file.write_text("".join(f"{name}: {value}\n" for name, value in RunConfig().as_dict().items()))
        what = break_bytes(draw, file)
    where = ["SHAPES", "--data-root", "raw", "--cache-dir", "cache", "--out", str(place / "run")]
    return Case(what, ["train", *where, "--config", str(file), *QUICK], expected)
