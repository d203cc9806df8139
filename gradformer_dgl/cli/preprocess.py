"""`gradformer-dgl preprocess`."""

from pathlib import Path

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import GuessingChoice, LongCommand
from gradformer_dgl.data.options import DataOptions

# Written out here, for the modules that define them load more than `--help` should wait for.
LAYOUTS = ("dense", "sparse")
BACKENDS = ("threading", "loky", "dask", "ray")


@click.command("preprocess", cls=LongCommand)
@options.dataset
@options.data_root
@options.data_options
@options.cache_dir
@click.option(
    "--encodings",
    multiple=True,
    metavar="NAME:K",
    help="A node encoding to compute: rwse:K, lappe:K, degree or MODULE:NAME:K of your own; may be repeated. "
    "[default: the preset's]",
)
@click.option("--directed", is_flag=True, help="Follow edges from source to target only.")
@click.option("--max-distance", type=click.IntRange(min=1), help="Treat farther pairs as unreachable.")
@click.option(
    "--layout",
    type=GuessingChoice(LAYOUTS),
    default="dense",
    show_default=True,
    help="Keep all pairs, or those within --max-distance only.",
)
@click.option(
    "--extra-distances",
    "extra_distances",
    multiple=True,
    metavar="NAME",
    help="Another distance to compute too: resistance, weighted or MODULE:NAME; may be repeated.",
)
@click.option("--resume/--no-resume", default=True, help="Keep the parts of an interrupted run.")
@options.jobs_option(-1)
@click.option(
    "--backend",
    type=GuessingChoice(BACKENDS),
    default="threading",
    show_default=True,
    help="Who computes: threads, processes (loky), or the workers of a Dask or Ray cluster.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler or Ray cluster.")
@results.as_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    dataset: str,
    data_root: Path | None,
    data_options: DataOptions,
    cache_dir: Path,
    encodings: tuple[str, ...],
    directed: bool,
    max_distance: int | None,
    layout: str,
    extra_distances: tuple[str, ...],
    resume: bool,
    jobs: int,
    backend: str,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Compute all shortest-path distances of DATASET and cache them in one HDF5 file.

    DATASET is a name (see `gradformer-dgl datasets`), a CSV file of molecules, or the MODULE:FUNCTION that
    makes a DGL data set. Does nothing where the cache is current.

    Example: gradformer-dgl preprocess MUTAG --data-root data

    Example: gradformer-dgl preprocess molecules.csv
    """
    from gradformer_dgl.data import load_dataset
    from gradformer_dgl.preprocess import preprocess_graphs
    from gradformer_dgl.training.config import load_preset

    opened = load_dataset(dataset, data_root, jobs=jobs, **data_options.given())
    if not encodings:
        encodings = load_preset(options.preset_of(dataset, opened.name, data_options)).encodings
    file = options.cache_file(cache_dir, opened.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    cache = preprocess_graphs(
        opened.graphs,
        file,
        n_jobs=jobs,
        encodings=encodings,
        directed=directed,
        max_distance=max_distance,
        layout=layout,
        extra_distances=extra_distances,
        backend=backend,
        scheduler=scheduler,
        resume=resume,
        progress=not obj["quiet"],
    )
    text = f"{cache.path}: {len(cache)} graphs, {Path(cache.path).stat().st_size:,} bytes"
    results.print_result({"dataset": opened.name, **cache.info()}, (text,), as_json)
