"""`gradformer-dgl reproduce`."""

from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results

# Written out here, for the modules that define them load more than `--help` should wait for.
TABLES = ("main", "depth", "low-resource", "ablation", "efficiency", "decay")
PRESETS = ("published", "tuned")


def _names(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


@click.command("reproduce")
@options.choice("--table", TABLES, "What to compare.")
@click.option(
    "--datasets",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Data sets, may be repeated. [default: the table's]",
)
@click.option(
    "--models",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Models, may be repeated. [default: the table's]",
)
@options.choice("--preset", PRESETS, "Settings to start from; tuned takes NAME-tuned where it exists.")
@options.number("--runs", "Seeds 0, 1, ... of each; with --folds, repetitions.", 10)
@options.number("--folds", "Stratified cross-validation in place of random splits.", low=3)
@options.number("--epochs", "In place of the preset's; a warm-up shortens with them.")
@options.jobs
@options.device
@click.option(
    "--out",
    type=options.FOLDER,
    default=Path("results"),
    show_default=True,
    help="Folder of the small results: JSON files, tables, figures.",
)
@click.option(
    "--work",
    type=options.FOLDER,
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
    runs: int,
    jobs: int,
    device: str,
    out: Path,
    work: Path,
    data_root: Path | None,
    cache_dir: Path,
    render_only: bool,
    as_json: bool,
    **chosen: Any,
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
    from gradformer_dgl.training.threads import use_threads

    if chosen["folds"] is not None and table != "main":
        raise ConfigError(f"--folds goes with --table main, not with {table}")
    compared = table_named(table)
    experiments = experiments_of(compared, **chosen)
    if not render_only:
        use_threads(1)
        folders = Folders(out, work, cache_dir, data_root, options.chosen_device(device))
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
    file = write_table(compared, experiments, out)
    result = {"table": table, "markdown": str(file), "csv": str(file.with_suffix(".csv"))}
    results.print_result(result, (file,), as_json)
