"""Caches of distances that are broken, or of other data."""

import random
from pathlib import Path

import h5py
from faults import ANY, MISTAKE, QUICK, Case, break_bytes, make_something_else


def _change_objects(draw: random.Random, file: Path) -> str:
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        attributes = list(opened.attrs)
        if draw.random() < 0.5:
            name = draw.choice(names)
            del opened[name]
            if draw.random() < 0.5:
                opened[name] = draw.choice([[1, 2, 3], 7, "word", [[1.5]]])
        else:
            name = draw.choice(attributes)
            if draw.random() < 0.5:
                del opened.attrs[name]
            else:
                opened.attrs[name] = draw.choice([[1, 2, 3], 7, -1, "word", 1.5, b"\xff"])
    return f"{name} changed"


def make(draw: random.Random, sound, place: Path) -> Case:
    """Train or predict with a cache, look into it, or write it again."""
    file = sound.copied("cache/SHAPES.h5", place)
    verb = draw.choice(["train", "info", "preprocess", "predict"])
    expected, share = ANY, draw.random()
    if share < 0.5:
        what = break_bytes(draw, file)
    elif share < 0.75:
        what = _change_objects(draw, file)
    elif share < 0.85:
        file.write_bytes((sound.folder / "cache" / "mine.h5").read_bytes())
        what, expected = "of other data", MISTAKE if verb in ("train", "predict") else ANY
    else:
        what, expected = make_something_else(draw, file), MISTAKE if verb != "preprocess" else ANY
    where = ["SHAPES", "--data-root", "raw", "--cache-dir", str(place)]
    commands = {
        "train": ["train", *where, *QUICK, "--out", str(place / "run")],
        "info": ["info", str(file), "--verify", "--data", "SHAPES", "--data-root", "raw", "--diameters"],
        "preprocess": ["preprocess", *where, "--encodings", "rwse:3", "--jobs", "1"],
        "predict": ["predict", "runs/SHAPES", "raw/SHAPES", "-o", "-", "--cache", str(file)],
    }
    return Case(what, commands[verb], expected)
