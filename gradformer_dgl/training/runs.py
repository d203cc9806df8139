"""A run: one configuration trained with several seeds, in a folder of its own."""

import contextlib
import dataclasses
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.data import GraphDataset
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.options import DataOptions
from gradformer_dgl.support.errors import ConfigError, DataError, RunError
from gradformer_dgl.support.json_text import json_text
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.training.checkpoint import load_tensors, remove_drafts, write_whole
from gradformer_dgl.training.config import RunConfig, read_settings
from gradformer_dgl.training.data_digests import data_digests
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.loop import EpochCallback, SeedResult, Trainer
from gradformer_dgl.training.objectives import objective_for
from gradformer_dgl.training.outputs import labels_of
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.seed_files import METRICS, WEIGHTS
from gradformer_dgl.training.seeds import train_seed, train_seeds_in_processes
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.tensorboard import EVENTS
from gradformer_dgl.version import __version__

CONFIG, RESULT = "config.yaml", "result.json"
DATA = "data"
"""Key in the description of a run: what prediction has to know of the training data."""
DIGESTS = "data_digests"
"""Key in the description of a run: what tells its data from other data of the same kind."""


def train_run(
    request: RunSpec,
    jobs: int = 1,
    on_epoch: EpochCallback | None = None,
    dataset: GraphDataset | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train all seeds of a run and write its folder.

    Parameters
    ----------
    request : RunSpec
        What to train.
    jobs : int
        Processes; the seeds are shared among them.
    on_epoch : callable, optional
        Called with seed and record after every epoch.
    dataset : GraphDataset, optional
        The data set where it is open already.
    ranks : Ranks
        The processes that share the training of each seed; the first writes the folder.

    Returns
    -------
    dict
        What ``result.json`` holds: the mean and the sample standard deviation of the test scores at the best
        validation epochs, and the scores of each seed.

    Raises
    ------
    GradformerError
        For anything that keeps a seed from being trained, or where another process is at work in the folder.
    """
    folder = Path(request.folder).absolute()
    with exclusive(folder) if ranks.is_first else contextlib.nullcontext():
        return _train_run(request, jobs, on_epoch, dataset, ranks)


def _train_run(
    request: RunSpec,
    jobs: int,
    on_epoch: EpochCallback | None,
    dataset: GraphDataset | None,
    ranks: Ranks,
) -> dict[str, Any]:
    begin = time.perf_counter()
    goes_on = ranks.is_first and _goes_on(request)
    alone = jobs == 1 or len(request.seeds) == 1
    if dataset is None:
        dataset = request.open_dataset() if alone else request.load_dataset()
    if ranks.is_first:
        description = _description(request, dataset)
        text = yaml.safe_dump(description, sort_keys=False)
        if goes_on:
            _require_data(Path(request.folder), description)
        _prepare_folder(request)
    try:
        if ranks.is_first:
            write_whole(Path(request.folder) / CONFIG, text)
        if alone:
            results = [train_seed(request, seed, dataset, on_epoch, ranks) for seed in request.seeds]
        else:
            results = train_seeds_in_processes(request, min(jobs, len(request.seeds)), on_epoch)
    except BaseException:
        if ranks.is_first and not goes_on:
            _withdraw(request)
        raise
    summary = summarize(request, dataset, results, time.perf_counter() - begin)
    if ranks.is_first:
        _write_report(request, summary)
    return summary


def _write_report(request: RunSpec, summary: dict[str, Any]) -> None:
    write_whole(Path(request.folder) / RESULT, json_text(summary, indent=2) + "\n")


def _goes_on(request: RunSpec) -> bool:
    """Return whether the folder holds a run to go on with; RunError where it may not be touched."""
    folder = Path(request.folder)
    holds_run = (folder / CONFIG).exists()
    if holds_run and not request.overwrite:
        if not request.resume:
            raise RunError(f"{folder} holds a run: choose another --out, or --resume or --overwrite it")
        found = read_settings(folder / CONFIG)
        if not _same_data(found, request) or not request.config.matches(found.get("config")):
            raise RunError(f"{folder} holds a run with other settings: choose another --out")
        seeds: Any = found.get("seeds")
        if _DESCRIBED["seeds"](seeds) and not set(seeds) <= set(request.seeds):
            known, span = ", ".join(map(str, seeds)), max(seeds) - min(seeds) + 1
            raise RunError(
                f"{folder} holds the seeds {known}: --resume them with --seed {min(seeds)} --runs {span}"
            )
    return holds_run and request.resume


def _prepare_folder(request: RunSpec) -> None:
    folder = Path(request.folder)
    holds_run = (folder / CONFIG).exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_drafts(folder)
        # What lies in a folder that holds no run is not ours to remove.
        if holds_run and not request.resume:
            for stale in folder.glob("seed-*"):
                if stale.name.removeprefix("seed-").isdecimal():
                    shutil.rmtree(stale)
            (folder / RESULT).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ready: {error.strerror}") from None


def _withdraw(request: RunSpec) -> None:
    """Remove what a failed or interrupted run has written where no seed came to the end of an epoch."""
    folder, seed_folders = Path(request.folder), [request.seed_folder(seed) for seed in request.seeds]
    if any(file.stat().st_size for one in seed_folders for file in one.glob(METRICS)):
        return
    written = {one: [*one.glob(METRICS), *one.glob(EVENTS)] for one in seed_folders}
    written[folder] = [folder / CONFIG]
    for one, files in written.items():
        with contextlib.suppress(OSError):
            remove_drafts(one)
            for file in files:
                file.unlink(missing_ok=True)
            # What else lies there is not ours to remove.
            one.rmdir()


def _same_data(found: dict[str, Any], request: RunSpec) -> bool:
    return (
        found.get("dataset") == request.dataset
        and DataOptions.read(found.get("data_options") or {}) == request.data_options
    )


def _require_data(folder: Path, today: dict[str, Any]) -> None:
    """Compare the data of the run in a folder, as far as it is described there, with that of today.

    Raises
    ------
    RunError
        Where they are not the same.
    """
    file = folder / CONFIG
    found = read_settings(file)
    then = {key: found[key] for key in (DATA, DIGESTS) if found.get(key) not in (None, today[key])}
    if DATA in then:
        then[DATA] = _saved_facts(file, then[DATA]).as_dict()
    if not isinstance(then.get(DIGESTS, {}), dict):
        raise RunError(f"{file} is not the description of a run: {DIGESTS!r} is wrong")
    different = [
        str(name).replace("_", " ")
        for key, said in then.items()
        for name in said | today[key]
        if said.get(name) != today[key].get(name)
    ]
    if different:
        raise RunError(
            f"{folder} holds a run on data with other {', '.join(different)}: give it its own data, or train "
            "another run"
        )


def free_folder(folder: Path) -> Path:
    """Return the folder, or the first of folder-2, folder-3, ... that holds no run."""
    number = 1
    candidate = folder
    while (candidate / CONFIG).exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _description(request: RunSpec, dataset: GraphDataset) -> dict[str, Any]:
    return {
        "dataset": request.dataset,
        "data_root": request.data_root,
        "data_options": request.data_options.given(),
        "cache": request.cache,
        "seeds": list(request.seeds),
        "config": request.config.as_dict(),
        **_about_data(dataset, request),
        "version": __version__,
    }


def _about_data(dataset: GraphDataset, request: RunSpec) -> dict[str, Any]:
    return {DATA: _facts(dataset, request).as_dict(), DIGESTS: data_digests(dataset)}


def _facts(dataset: GraphDataset, request: RunSpec) -> DatasetInfo:
    cache = DistanceCache(request.cache)
    return DatasetInfo.of(dataset, cache.directed, cache.max_distance)


def read_facts(request: RunSpec, reread: bool = False) -> DatasetInfo:
    """Return what a run was told of its training data.

    Parameters
    ----------
    request : RunSpec
        From :func:`open_run`.
    reread : bool
        Look at the data and its cache where the run folder does not say it.

    Raises
    ------
    RunError
        Where the folder does not say it, as those of older versions do not.
    """
    file = Path(request.folder) / CONFIG
    saved = read_settings(file).get(DATA)
    if saved is not None:
        return _saved_facts(file, saved)
    if reread:
        return _facts(request.load_dataset(), request)
    raise RunError(
        f"{file} does not say what the data of the run was like, for an older version wrote it: train it "
        "again, or give its data with --data-root"
    )


def _saved_facts(file: Path, saved: Any) -> DatasetInfo:
    try:
        return DatasetInfo.read(saved)
    except DataError as error:
        raise RunError(f"{file}: {error}; train the run again") from None


def summarize(
    request: RunSpec, dataset: GraphDataset, results: Sequence[SeedResult], seconds: float
) -> dict[str, Any]:
    """Gather the scores of all seeds into what ``result.json`` holds."""
    baseline = {}
    if dataset.task == "regression":
        baseline["predicting_the_mean"] = constant_prediction_error(request, dataset)
    return {
        "dataset": dataset.name,
        **_score(request, dataset, [result.test for result in results], [result.also for result in results]),
        **baseline,
        "val_mean": statistics.fmean(result.val for result in results),
        "runs": [dataclasses.asdict(result) for result in results],
        "seconds": round(seconds, 3),
        "version": __version__,
        "torch": torch.__version__,
    }


def _score(
    request: RunSpec,
    dataset: GraphDataset,
    scores: Sequence[float],
    also: Sequence[dict[str, float]],
) -> dict[str, Any]:
    objective = objective_for(dataset.task, request.config.class_weights)
    return {
        "metric": objective.name,
        "unit": objective.unit,
        **_mean_and_deviation(scores),
        "also": {name: _mean_and_deviation([one[name] for one in also]) for name in also[0]},
    }


def _mean_and_deviation(scores: Sequence[float]) -> dict[str, float]:
    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return {"mean": statistics.fmean(scores), "std": deviation}


def open_run(
    folder: Path, data_root: str | None = None, cache: str | None = None, device: str = "cpu"
) -> RunSpec:
    """Read back what a run folder was trained with.

    Raises
    ------
    RunError
        Where the folder is no run folder.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise RunError(f"{folder} is not a run folder: it has no {CONFIG}")
    facts = read_settings(file)
    for name, is_right in _DESCRIBED.items():
        if name not in facts or not is_right(facts[name]):
            fault = "wrong" if name in facts else "missing"
            raise RunError(f"{file} is not the description of a run: {name!r} is {fault}")
    try:
        return RunSpec(
            dataset=facts["dataset"],
            data_root=data_root or facts["data_root"],
            cache=cache or facts["cache"],
            folder=str(folder),
            config=RunConfig().updated(facts["config"]),
            seeds=tuple(facts["seeds"]),
            device=device,
            data_options=DataOptions.read(facts.get("data_options") or {}),
        )
    except ConfigError as error:
        raise RunError(f"{file} is not the description of a run: {error}") from None


_DESCRIBED: dict[str, Callable[[Any], bool]] = {
    "dataset": lambda value: isinstance(value, str),
    "data_root": lambda value: value is None or isinstance(value, str),
    "cache": lambda value: isinstance(value, str),
    "config": lambda value: isinstance(value, dict),
    "seeds": lambda value: (
        isinstance(value, list) and bool(value) and all(type(seed) is int and seed >= 0 for seed in value)
    ),
}
"""What a description of a run must say, and whether a value can be that."""


def evaluate_run(request: RunSpec, part: str = "test") -> dict[str, Any]:
    """Score the saved weights of a run again.

    Parameters
    ----------
    request : RunSpec
        From :func:`open_run`.
    part : str
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    dict
        Mean and sample standard deviation over the seeds, and the score of each.

    Raises
    ------
    GradformerError
        Where weights, data or cache are missing or do not fit together, or the data is not that of the run.
    """
    weights = {seed: load_tensors(request.seed_folder(seed) / WEIGHTS)[0] for seed in request.seeds}
    dataset = request.open_dataset()
    _require_data(Path(request.folder), _about_data(dataset, request))
    runs: list[dict[str, Any]] = []
    for seed, tensors in weights.items():
        trainer = Trainer(dataset, request.config, seed, request.seed_folder(seed), request.device)
        trainer.scored.load(tensors)
        score, also = trainer.scores(part)
        runs.append({"seed": seed, "score": score, "also": also})
    return {
        "dataset": dataset.name,
        "split": part,
        **_score(request, dataset, [run["score"] for run in runs], [run["also"] for run in runs]),
        "runs": runs,
    }


def constant_prediction_error(request: RunSpec, dataset: GraphDataset) -> float:
    """Mean absolute error of predicting the mean of the training targets, averaged over the seeds' splits.

    What a regression has to beat.
    """
    errors = []
    for seed in request.seeds:
        split = split_of(dataset, request.config, seed)
        guess = labels_of(dataset, split["train"]).double().nanmean(0)
        errors.append((labels_of(dataset, split["test"]).double() - guess).abs().nanmean().item())
    return statistics.fmean(errors)
