"""`gradformer-dgl train`."""

import logging
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import LongCommand

LINES_PER_SEED = 10
"""Lines of text about the training of a seed, where stderr is no terminal."""


@click.command("train", cls=LongCommand)
@options.data_options
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="Run folder. [default: runs/DATASET, or DATASET-2, ...]",
)
@options.preset
@options.config_file
@options.number("--seed", "Seed of the first run.", 0, low=0)
@options.number("--runs", "Number of seeds.", 1)
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the folder.")
@options.number("--threads", "Threads of each process.", 1)
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
    seed: int,
    runs: int,
    resume: bool,
    overwrite: bool,
    threads: int,
    jobs: int,
    device: str,
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
    from gradformer_dgl.plots.run_pictures import draw_run
    from gradformer_dgl.support.errors import ConfigError
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.distributed import joined_ranks
    from gradformer_dgl.training.run_folder import free_folder
    from gradformer_dgl.training.runs import train_run
    from gradformer_dgl.training.seed_files import score_name
    from gradformer_dgl.training.threads import use_threads

    if resume and overwrite:
        raise click.UsageError("--resume goes on with the run that --overwrite replaces: give one of them")
    with joined_ranks() as ranks:
        log = logging.getLogger("gradformer_dgl")
        if not ranks.is_first:
            log.setLevel(logging.ERROR)
        if ranks.size > 1 and jobs > 1:
            raise ConfigError(f"--jobs {jobs} does not go together with torchrun: leave it out")
        raw = data.load_with_targets()
        config = settings.over(data.preset(raw.name))
        settings.warn_of_idle(data.preset(raw.name), raw)
        default = Path("runs") / raw.name
        spec = data.run_spec(
            raw.name,
            folder=ranks.from_first(lambda: str(out or (default if resume else free_folder(default)))),
            config=config,
            seeds=tuple(range(seed, seed + runs)),
            device=ranks.device(options.chosen_device(device)),
            threads=threads,
            resume=resume,
            overwrite=overwrite,
        )
        use_threads(threads)
        dataset = spec.open_dataset(raw)
        shown = ranks.is_first and not obj["quiet"]
        with Progress(shown=shown, lines=LINES_PER_SEED) as progress:
            for one in spec.seeds:
                progress.add(f"seed {one}", config.epochs)
            progress.plan(len(spec.seeds))

            def on_epoch(seed: int, record: dict[str, Any]) -> None:
                score = score_name(record)
                text = f"loss {record['train_loss']:.4f}  val {score} {record[f'val_{score}']:.4g}"
                progress.epoch(f"seed {seed}", record["epoch"], config.epochs, text)

            result = train_run(spec, jobs, on_epoch, dataset, ranks)
        if ranks.is_first:
            draw_run(spec)
            log.info("run folder: %s", spec.folder)
            results.print_scores(result, results.score_text(result))
