"""`gradformer-dgl reproduce`."""

from pathlib import Path

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import GuessingChoice

# Written out here, for the modules that define them load more than `--help` should wait for.
TABLES = ("main", "depth", "low-resource", "ablation", "efficiency", "decay")
PRESETS = ("published", "tuned")


@click.command("reproduce")
@click.option(
    "--table", type=GuessingChoice(TABLES), default="main", show_default=True, help="What to compare."
)
@click.option(
    "--datasets", multiple=True, metavar="A,B", help="Data sets, may be repeated. [default: the table's]"
)
@click.option(
    "--models", multiple=True, metavar="A,B", help="Models, may be repeated. [default: the table's]"
)
@click.option(
    "--preset",
    type=GuessingChoice(PRESETS),
    default="published",
    show_default=True,
    help="Settings to start from; tuned takes NAME-tuned where it exists.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Seeds 0, 1, ... of each; with --folds, repetitions.",
)
@click.option(
    "--folds", type=click.IntRange(min=3), help="Stratified cross-validation in place of random splits."
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="In place of the preset's; a warm-up shortens with them."
)
@options.jobs
@options.device
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the small results: JSON files, tables, figures.",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs") / "reproduce",
    show_default=True,
    help="Folder of the large files: weights, checkpoints, curves.",
)
@options.data_root
@options.cache_dir
@click.option("--render-only", is_flag=True, help="Write the table again from the JSON files; train nothing.")
@results.as_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    table: str,
    datasets: tuple[str, ...],
    models: tuple[str, ...],
    preset: str,
    runs: int,
    folds: int | None,
    epochs: int | None,
    jobs: int | None,
    device: str,
    out: Path,
    work: Path,
    data_root: Path | None,
    cache_dir: Path,
    render_only: bool,
    as_json: bool,
) -> None:
    """Train what a table of the paper compares, and write the table beside the paper's numbers.

    Finished trainings are never repeated, not even for another table, and one that was interrupted goes on:
    the same command again does what is left. Data sets that are not cached are preprocessed. With --jobs
    trainings go on side by side, in processes of one thread each. The last line on stdout is the path of the
    table.

    Example: gradformer-dgl reproduce --table main --datasets MUTAG --runs 3 --jobs 2 --data-root data
    """
    from gradformer_dgl.experiments.experiment import experiments_of
    from gradformer_dgl.experiments.reproduction import Folders, reproduce
    from gradformer_dgl.experiments.table_files import write_table
    from gradformer_dgl.experiments.tables import table_named
    from gradformer_dgl.support.errors import ConfigError
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.threads import available_processors, use_threads

    if folds is not None and table != "main":
        raise ConfigError(f"--folds goes with --table main, not with {table}")
    chosen = table_named(table)
    experiments = experiments_of(chosen, _names(datasets), _names(models), preset, epochs, folds)
    if not render_only:
        use_threads(1)
        folders = Folders(out, work, cache_dir, data_root, options.chosen_device(device))
        jobs = available_processors() if jobs == -1 else (jobs or 1)
        with Progress("trainings", shown=not obj["quiet"]) as progress:
            reproduce(
                experiments,
                folders,
                range(runs),
                jobs,
                measure=table == "efficiency",
                progress=progress,
                show_preprocessing=not obj["quiet"],
            )
    file = write_table(chosen, experiments, out)
    facts = {"table": table, "markdown": str(file), "csv": str(file.with_suffix(".csv"))}
    results.print_result(facts, (file,), as_json)


def _names(values: tuple[str, ...]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]
