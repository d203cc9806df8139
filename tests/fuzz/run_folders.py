"""Run folders that are broken."""

import json
import random
from pathlib import Path
from typing import Any

import torch
import yaml
from faults import ANY, MISTAKE, QUICK, Case, break_bytes, make_something_else
from safetensors.torch import load_file, save_file

VALUES: list[Any] = [
    None,
    [],
    {},
    "",
    "word",
    -1,
    0,
    1,
    3,
    10**12,
    1.5,
    float("nan"),
    True,
    [1, 2],
    {"a": 1},
    ["a"],
]
INPUTS = {"SHAPES": "raw/SHAPES", "mine": "mine.csv", "rings": "rings.bin"}


def _change_somewhere(draw: random.Random, tree: Any) -> str:
    """Replace or remove a value somewhere in a tree of tables and lists."""
    path, places = "", []

    def visit(part: Any, path: str) -> None:
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key, f"{path}.{key}"))
            if isinstance(part[key], (dict, list)):
                visit(part[key], f"{path}.{key}")

    visit(tree, path)
    # Settings of training are many, and have a part in little here.
    weights = [1 if ".config." in one[2] else 5 for one in places]
    part, key, path = draw.choices(places, weights)[0]
    if draw.random() < 0.25:
        del part[key]
        return f"{path} removed"
    part[key] = draw.choice(VALUES)
    return f"{path} is {part[key]!r}"


def _change_tensors(draw: random.Random, file: Path) -> tuple[str, str]:
    tensors = load_file(file)
    name = draw.choice(list(tensors))
    kind = draw.choice(["missing", "more", "shape", "type", "scalar", "nan", "wide"])
    if kind == "missing":
        del tensors[name]
    elif kind == "more":
        tensors["more"] = torch.zeros(3)
    elif kind == "shape":
        tensors[name] = torch.zeros(3, 5, 7)
    elif kind == "type":
        tensors[name] = tensors[name].to(draw.choice([torch.int8, torch.float64, torch.bool, torch.float16]))
    elif kind == "scalar":
        tensors[name] = torch.zeros(())
    elif kind == "nan":
        tensors[name] = torch.full_like(tensors[name].float(), torch.nan)
    else:
        tensors[name] = torch.cat([tensors[name].flatten()] * 2)
    save_file(tensors, file, metadata={"facts": json.dumps({"seed": 0})})
    return f"{kind}: {name}", MISTAKE if kind in ("more", "shape") else ANY


def make(draw: random.Random, sound, place: Path) -> Case:
    """Predict with a run, evaluate it, or go on with it."""
    name = draw.choice(list(INPUTS))
    run = sound.copied(f"runs/{name}", place)
    config, weights = run / "config.yaml", run / "seed-0" / "weights.safetensors"
    verb = draw.choice(["predict", "predict", "evaluate", "train"])
    if verb == "train":
        weights = run / "seed-0" / "checkpoint.safetensors"
    expected, share = ANY, draw.random()
    if share < 0.35:
        tree = yaml.safe_load(config.read_text())
        what = _change_somewhere(draw, tree)
        config.write_text(yaml.safe_dump(tree))
    elif share < 0.45:
        what = break_bytes(draw, config)
    elif share < 0.5:
        what, expected = make_something_else(draw, config), MISTAKE if verb != "train" else ANY
    elif share < 0.7:
        what = break_bytes(draw, weights)
    elif share < 0.85:
        what, expected = _change_tensors(draw, weights)
        expected = ANY if verb == "train" else expected
    elif share < 0.9:
        what, expected = make_something_else(draw, weights), MISTAKE if verb != "train" else ANY
    else:
        other = draw.choice([one for one in INPUTS if one != name])
        weights.write_bytes((sound.folder / "runs" / other / "seed-0" / weights.name).read_bytes())
        # Those of the two models without edges are of the same shapes.
        what, expected = f"{weights.name} of {other}", MISTAKE if "mine" in (name, other) else ANY
    if verb == "predict":
        return Case(what, ["predict", str(run), INPUTS[name], "-o", "-"], expected)
    if verb == "evaluate":
        return Case(what, ["evaluate", str(run)], expected)
    dataset = {"SHAPES": ["SHAPES", "--data-root", "raw"], "mine": ["mine.csv", "--target-column", "y"]}

    data = dataset.get(name, ["fuzzed_rings:rings"])
    return Case(what, ["train", *data, *QUICK, "--out", str(run), "--resume"], expected)
