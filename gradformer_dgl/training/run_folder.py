"""Run folder: its files, the rules for resuming and replacing a run, and what a failed run leaves."""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.support.atomic_write import remove_drafts, write_whole
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.support.json_text import json_text
from gradformer_dgl.support.registry import is_code
from gradformer_dgl.training.config import RunConfig, read_settings, renamed
from gradformer_dgl.training.run_spec import RunSpec, refuse_code
from gradformer_dgl.training.seed_files import METRICS
from gradformer_dgl.training.tensorboard import EVENTS
from gradformer_dgl.version import __version__

CONFIG, RESULT = "config.yaml", "result.json"

_RIGHT: dict[str, Callable[[Any], bool]] = {
    "dataset": lambda value: isinstance(value, str),
    "data_root": lambda value: value is None or isinstance(value, str),
    "cache": lambda value: isinstance(value, str),
    "config": lambda value: isinstance(value, dict),
    "seeds": lambda value: (
        isinstance(value, list) and bool(value) and all(type(seed) is int and seed >= 0 for seed in value)
    ),
}
"""Keys that ``config.yaml`` must have, each with a check of its value."""


def read_spec(
    folder: Path,
    data_root: str | None = None,
    cache: str | None = None,
    device: str = "cpu",
    trust: bool = False,
) -> RunSpec:
    """Read the run spec in a run folder; data root and cache that are given replace those of the training.

    Without ``trust``, ConfigError where its settings name Python code, which is not imported.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise RunError(f"{folder} is not a run folder: it has no {CONFIG}")
    settings = read_settings(file)
    for name, is_right in _RIGHT.items():
        if name not in settings or not is_right(settings[name]):
            fault = "wrong" if name in settings else "missing"
            raise RunError(f"{file} is not the description of a run: {name!r} is {fault}")
    try:
        config = renamed(settings["config"])
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from None
    if not trust:
        refuse_code(folder, _code_in(config))
    try:
        return RunSpec(
            dataset=settings["dataset"],
            data_root=data_root or settings["data_root"],
            cache=cache or settings["cache"],
            folder=str(folder),
            config=RunConfig().updated(config),
            seeds=tuple(settings["seeds"]),
            device=device,
            data_options=DataOptions.read(settings.get("data_options") or {}),
            trusted=trust,
        )
    except ConfigError as error:
        raise RunError(f"{file} is not the description of a run: {error}") from None


def _code_in(config: Mapping[str, Any]) -> list[str]:
    """Return the settings of the form ``module:name``, or ``module:name:20`` as encodings have it."""
    texts = [value for value in config.values() if isinstance(value, str)]
    return [text for text in texts if is_code(text) or is_code(text.rpartition(":")[0])]


def write_spec(spec: RunSpec, data: Mapping[str, Any]) -> None:
    """Write the run spec and the description of its data into the run folder."""
    description = {
        "dataset": spec.dataset,
        "data_root": spec.data_root,
        "data_options": spec.data_options.given(),
        "cache": spec.cache,
        "seeds": list(spec.seeds),
        "config": spec.config.as_dict(),
        **data,
        "version": __version__,
    }
    write_whole(Path(spec.folder) / CONFIG, yaml.safe_dump(description, sort_keys=False))


def write_result(spec: RunSpec, result: Mapping[str, Any]) -> None:
    """Write the result of a run into its folder."""
    write_whole(Path(spec.folder) / RESULT, json_text(result, indent=2) + "\n")


def resumes(spec: RunSpec) -> bool:
    """Return whether the folder holds a run that is to be resumed; refuse a run that may not be replaced."""
    folder = Path(spec.folder)
    if not (folder / CONFIG).exists():
        return False
    if spec.overwrite:
        return spec.resume
    if not spec.resume:
        raise RunError(f"{folder} holds a run: choose another --out, or --resume or --overwrite it")
    found = read_settings(folder / CONFIG)
    same_data = (
        found.get("dataset") == spec.dataset
        and DataOptions.read(found.get("data_options") or {}) == spec.data_options
    )
    if not same_data or not spec.config.matches(found.get("config")):
        raise RunError(f"{folder} holds a run with other settings: choose another --out")
    seeds: Any = found.get("seeds")
    if _RIGHT["seeds"](seeds) and not set(seeds) <= set(spec.seeds):
        known, count = ", ".join(map(str, seeds)), max(seeds) - min(seeds) + 1
        raise RunError(
            f"{folder} holds the seeds {known}: --resume them with --seed {min(seeds)} --runs {count}"
        )
    return True


def prepare_folder(spec: RunSpec) -> None:
    """Make the folder of a run, and remove the run that is to be replaced."""
    folder = Path(spec.folder)
    holds_run = (folder / CONFIG).exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_drafts(folder)
        # In a folder without a run nothing is ours to remove.
        if holds_run and not spec.resume:
            for stale in folder.glob("seed-*"):
                if stale.name.removeprefix("seed-").isdecimal():
                    shutil.rmtree(stale)
            (folder / RESULT).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ready: {error.strerror}") from None


def withdraw(spec: RunSpec) -> None:
    """Remove the files of a failed or interrupted run of which no seed has finished an epoch."""
    folder, seed_folders = Path(spec.folder), [spec.seed_folder(seed) for seed in spec.seeds]
    if any(file.stat().st_size for one in seed_folders for file in one.glob(METRICS)):
        return
    written = {one: [*one.glob(METRICS), *one.glob(EVENTS)] for one in seed_folders}
    written[folder] = [folder / CONFIG]
    for one, files in written.items():
        with contextlib.suppress(OSError):
            remove_drafts(one)
            for file in files:
                file.unlink(missing_ok=True)
            # A folder with other files stays.
            one.rmdir()


def free_folder(folder: Path) -> Path:
    """Return the folder, or the first of folder-2, folder-3, ... that holds no run."""
    number = 1
    candidate = folder
    while (candidate / CONFIG).exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate
