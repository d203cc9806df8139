"""`gradformer-dgl preprocess`."""

from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import LongCommand

# Written out here, for the modules that define them load more than `--help` should wait for.
LAYOUTS = ("dense", "sparse")
BACKENDS = ("threading", "loky", "dask", "ray")


@click.command("preprocess", cls=LongCommand)
@options.data_options
@click.option(
    "--encodings",
    multiple=True,
    metavar="NAME:K",
    help="A node encoding to compute: rwse:K, lappe:K, degree or MODULE:NAME:K of your own; may be repeated. "
    "[default: the preset's]",
)
@click.option("--directed", is_flag=True, help="Follow edges from source to target only.")
@options.number("--max-distance", "Treat farther pairs as unreachable.")
@options.choice("--layout", LAYOUTS, "Keep all pairs, or those within --max-distance only.")
@click.option(
    "--extra-distances",
    multiple=True,
    metavar="NAME",
    help="Another distance to compute too: resistance, weighted or MODULE:NAME; may be repeated.",
)
@click.option("--resume/--no-resume", default=True, help="Keep the parts of an interrupted run.")
@options.jobs_option(-1)
@options.choice(
    "--backend", BACKENDS, "Who computes: threads, processes (loky), or the workers of a Dask or Ray cluster."
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler or Ray cluster.")
@results.as_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    data: options.ChosenData,
    encodings: tuple[str, ...],
    jobs: int,
    as_json: bool,
    **distances: Any,
) -> None:
    """Compute all shortest-path distances of DATASET and cache them in one HDF5 file.

    DATASET is a name (see `gradformer-dgl datasets`), a CSV file of molecules, or the MODULE:FUNCTION that
    makes a DGL data set. Does nothing where the cache is current.

    Example: gradformer-dgl preprocess MUTAG --data-root data

    Example: gradformer-dgl preprocess molecules.csv
    """
    from gradformer_dgl.preprocess import preprocess_graphs
    from gradformer_dgl.training.config import load_preset

    dataset = data.load(jobs=jobs)
    if not encodings:
        encodings = load_preset(data.preset(dataset.name)).encodings
    file = data.cache_file(dataset.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    cache = preprocess_graphs(
        dataset.graphs, file, n_jobs=jobs, encodings=encodings, progress=not obj["quiet"], **distances
    )
    text = f"{cache.path}: {len(cache)} graphs, {Path(cache.path).stat().st_size:,} bytes"
    results.print_result({"dataset": dataset.name, **cache.info()}, (text,), as_json)
