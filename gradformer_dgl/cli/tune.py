"""`gradformer-dgl tune`."""

from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import LongCommand
from gradformer_dgl.data.options import DataOptions


@click.command("tune", cls=LongCommand)
@options.dataset
@options.data_options
@options.data_root
@options.cache_dir
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the search; with an earlier search in it, that goes on. [default: runs/tune-DATASET]",
)
@click.option(
    "--trials", type=click.IntRange(min=1), default=50, show_default=True, help="Settings to try in all."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Splits that a trial is averaged over: those of the seeds 0, 1, ...",
)
@click.option(
    "--first-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="First of those seeds; report scores of others.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the search.")
@click.option(
    "--space",
    type=click.Path(path_type=Path),
    help="YAML file: for each setting a list of choices, or {low: ..., high: ..., log: true}.",
)
@options.preset
@click.option("--config", type=click.Path(path_type=Path), help="YAML file of settings, over the preset.")
@options.jobs
@options.device
@options.config_options
@results.always_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    dataset: str,
    data_options: DataOptions,
    data_root: Path | None,
    cache_dir: Path,
    out: Path | None,
    trials: int,
    seeds: int,
    first_seed: int,
    seed: int,
    space: Path | None,
    preset: str | None,
    config: Path | None,
    jobs: int | None,
    device: str,
    **settings: Any,
) -> None:
    """Search good settings for DATASET with Optuna, by validation scores alone.

    The same command again, with more --trials, goes on. A setting given as an option is fixed. What is found
    is in best.yaml in the folder.

    Example: gradformer-dgl tune NCI1 --data-root data --trials 100 --jobs 2

    Example: gradformer-dgl tune MUTAG --seeds 5 --first-seed 10

    Example: gradformer-dgl train NCI1 --config runs/tune-NCI1/best.yaml
    """
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.experiments.caches import ensure_cache
    from gradformer_dgl.experiments.search_space import default_space, read_space
    from gradformer_dgl.experiments.study import TuneSpec, import_optuna
    from gradformer_dgl.experiments.tuning import tune
    from gradformer_dgl.support.errors import ConfigError
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.run_spec import RunSpec
    from gradformer_dgl.training.threads import available_processors, use_threads

    import_optuna()
    use_threads(1)
    jobs = available_processors() if jobs == -1 else (jobs or 1)
    options.check_targets(dataset, data_root, data_options)
    raw = load_dataset(dataset, data_root, **data_options.given())
    base = options.chosen_config(dataset, raw.name, data_options, preset, config, settings)
    searched = default_space(base, raw.level) if space is None else read_space(space)
    searched = {name: values for name, values in searched.items() if name not in settings}
    if not searched:
        raise ConfigError(
            "every setting of the search space is fixed by an option: nothing is left to search"
        )
    cache = options.cache_file(cache_dir, raw.name)
    ensure_cache(raw, cache, base.encodings, jobs, not obj["quiet"], base.extra_distances)
    run = RunSpec(
        dataset=options.lasting_name(dataset, data_root, raw.name, data_options),
        data_options=data_options,
        data_root=None if data_root is None else str(data_root.resolve()),
        cache=str(cache.resolve()),
        folder=str(out or Path("runs") / f"tune-{raw.name}"),
        config=base,
        seeds=tuple(range(first_seed, first_seed + seeds)),
        device=options.chosen_device(device),
    )
    with Progress("trials", shown=not obj["quiet"]) as progress:
        result = tune(TuneSpec(run, searched, trials, seed), raw, jobs, progress)
    best = f"best validation {result['metric']} {result['best_val']:.4g}, trial {result['trial']}"
    results.print_scores(result, f"{best}: {result['config']}")
