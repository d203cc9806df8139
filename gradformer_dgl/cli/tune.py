"""`gradformer-dgl tune`."""

from pathlib import Path

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import LongCommand


@click.command("tune", cls=LongCommand)
@options.data_options
@click.option(
    "--out",
    type=options.FOLDER,
    help="Folder of the search; with an earlier search in it, that goes on. [default: runs/tune-DATASET]",
)
@options.number("--trials", "Settings to try in all.", 50)
@options.number("--seeds", "Splits that a trial is averaged over: those of the seeds 0, 1, ...", 1)
@options.number("--first-seed", "First of those seeds; report scores of others.", 0, low=0)
@options.number("--seed", "Seed of the search.", 0, low=0)
@click.option(
    "--space",
    type=options.FILE,
    help="YAML file: for each setting a list of choices, or {low: ..., high: ..., log: true}.",
)
@options.preset
@options.config_file
@options.jobs
@options.device
@options.config_options
@results.always_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    data: options.ChosenData,
    settings: options.ChosenSettings,
    out: Path | None,
    trials: int,
    seeds: int,
    first_seed: int,
    seed: int,
    space: Path | None,
    jobs: int,
    device: str,
) -> None:
    """Search good settings for DATASET with Optuna, by validation scores alone.

    The same command again, with more --trials, goes on. A setting given as an option is fixed. What is found
    is in best.yaml in the folder.

    Example: gradformer-dgl tune NCI1 --data-root data --trials 100 --jobs 2

    Example: gradformer-dgl tune MUTAG --seeds 5 --first-seed 10

    Example: gradformer-dgl train NCI1 --config runs/tune-NCI1/best.yaml
    """
    from gradformer_dgl.experiments.caches import ensure_cache
    from gradformer_dgl.experiments.tune import tune
    from gradformer_dgl.experiments.tune_space import default_space, read_space
    from gradformer_dgl.experiments.tune_study import TuneSpec, import_optuna
    from gradformer_dgl.support.errors import ConfigError
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.threads import use_threads

    import_optuna()
    use_threads(1)
    raw = data.load_with_targets()
    base = settings.over(data.preset(raw.name))
    searched = default_space(base, raw.level) if space is None else read_space(space)
    searched = {name: values for name, values in searched.items() if name not in settings.given}
    if not searched:
        raise ConfigError(
            "every setting of the search space is fixed by an option: nothing is left to search"
        )
    ensure_cache(raw, data.cache_file(raw.name), base.encodings, jobs, not obj["quiet"], base.extra_distances)
    run = data.run_spec(
        raw.name,
        folder=str(out or Path("runs") / f"tune-{raw.name}"),
        config=base,
        seeds=tuple(range(first_seed, first_seed + seeds)),
        device=options.chosen_device(device),
    )
    with Progress("trials", shown=not obj["quiet"]) as progress:
        result = tune(TuneSpec(run, searched, trials, seed), raw, jobs, progress)
    best = f"best validation {result['metric']} {result['best_val']:.4g}, trial {result['trial']}"
    results.print_scores(result, f"{best}: {result['config']}")
