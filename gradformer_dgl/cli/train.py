"""`gradformer-dgl train`."""

import logging
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import LongCommand
from gradformer_dgl.data.options import DataOptions

LINES_PER_SEED = 10
"""Lines of text about the training of a seed, where stderr is no terminal."""


@click.command("train", cls=LongCommand)
@options.dataset
@options.data_root
@options.data_options
@options.cache_dir
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run folder. [default: runs/DATASET, or DATASET-2, ...]",
)
@options.preset
@click.option("--config", type=click.Path(path_type=Path), help="YAML file of settings, over the preset.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the first run."
)
@click.option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="Number of seeds.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the folder.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of each process.",
)
@options.jobs
@options.device
@options.config_options
@results.always_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    dataset: str,
    data_root: Path | None,
    data_options: DataOptions,
    cache_dir: Path,
    out: Path | None,
    preset: str | None,
    config: Path | None,
    seed: int,
    runs: int,
    resume: bool,
    overwrite: bool,
    threads: int,
    jobs: int | None,
    device: str,
    **settings: Any,
) -> None:
    """Train a model on DATASET, whose distances `preprocess` has cached.

    DATASET is a name (see `gradformer-dgl datasets`), a CSV file of molecules, or the MODULE:FUNCTION that
    makes a DGL data set. The result on stdout is one line of JSON: the test score at the best validation
    epoch, mean and standard deviation over the runs. With --jobs the seeds are trained side by side; under
    torchrun the processes share every batch.

    Example: gradformer-dgl train MUTAG --data-root data --runs 10 --jobs 2

    Example: gradformer-dgl train molecules.csv --target-column y

    Example: torchrun --nproc-per-node 2 $(which gradformer-dgl) train NCI1
    """
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.plots.run_pictures import draw_run
    from gradformer_dgl.support.errors import ConfigError
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.distributed import joined_ranks
    from gradformer_dgl.training.run_folder import free_folder
    from gradformer_dgl.training.run_spec import RunSpec
    from gradformer_dgl.training.runs import train_run
    from gradformer_dgl.training.seed_files import score_name
    from gradformer_dgl.training.threads import available_processors, use_threads

    if resume and overwrite:
        raise click.UsageError("--resume goes on with the run that --overwrite replaces: give one of them")
    with joined_ranks() as ranks:
        log = logging.getLogger("gradformer_dgl")
        if not ranks.is_first:
            log.setLevel(logging.ERROR)
        jobs = available_processors() if jobs == -1 else (jobs or 1)
        if ranks.size > 1 and jobs > 1:
            raise ConfigError(f"--jobs {jobs} does not go together with torchrun: leave it out")
        options.check_targets(dataset, data_root, data_options)
        raw = load_dataset(dataset, data_root, **data_options.given())
        name = raw.name
        chosen = options.chosen_config(dataset, name, data_options, preset, config, settings)
        default = Path("runs") / name
        request = RunSpec(
            dataset=options.lasting_name(dataset, data_root, name, data_options),
            data_root=None if data_root is None else str(data_root.resolve()),
            cache=str(options.cache_file(cache_dir, name).resolve()),
            folder=ranks.from_first(lambda: str(out or (default if resume else free_folder(default)))),
            config=chosen,
            seeds=tuple(range(seed, seed + runs)),
            device=ranks.device(options.chosen_device(device)),
            threads=threads,
            resume=resume,
            overwrite=overwrite,
            data_options=data_options,
        )
        use_threads(threads)
        opened = request.open_dataset(raw)
        shown = ranks.is_first and not obj["quiet"]
        with Progress(shown=shown, lines=LINES_PER_SEED) as progress:
            for one in request.seeds:
                progress.add(f"seed {one}", chosen.epochs)
            progress.plan(len(request.seeds))

            def on_epoch(seed: int, record: dict[str, Any]) -> None:
                score = score_name(record)
                text = f"loss {record['train_loss']:.4f}  val {score} {record[f'val_{score}']:.4g}"
                progress.epoch(f"seed {seed}", record["epoch"], chosen.epochs, text)

            result = train_run(request, jobs, on_epoch, opened, ranks)
        if ranks.is_first:
            draw_run(request)
            log.info("run folder: %s", request.folder)
            results.print_scores(result, results.score_text(result))
