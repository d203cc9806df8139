"""`gradformer-dgl predict`."""

import logging
import sys
from pathlib import Path

import click

from gradformer_dgl.cli import options, results

ROWS_LEFT_EMPTY = 3
"""Exit status where some rows of the input could not be read."""


@click.command("predict")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.FILE)
@click.argument("input", type=options.FILE)
@click.option("--out", "-o", required=True, type=options.FILE, help="CSV file to write; - is stdout.")
@options.number("--seed", "Take this seed alone. [default: mean of all]", low=0)
@click.option(
    "--smiles-column", metavar="NAME", help="Column with the molecules of a CSV file. [default: smiles]"
)
@click.option("--cache", type=options.FILE, help="Distances of INPUT. [default: they are computed]")
@click.option(
    "--data-root",
    type=click.Path(file_okay=False),
    help="Raw data of the run, where an older version trained it; others do not need it.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@options.number("--threads", "Threads of the network.", 1)
@options.device
@options.trust
@results.as_json
@click.pass_obj
def command(
    obj: dict[str, bool],
    runs: tuple[Path, ...],
    input: Path,
    out: Path,
    seed: int | None,
    smiles_column: str | None,
    cache: Path | None,
    data_root: str | None,
    overwrite: bool,
    threads: int,
    device: str,
    trust: bool,
    as_json: bool,
) -> None:
    """Predict the graphs of INPUT with the weights in the run folder RUN, or the average of several runs.

    INPUT is a CSV file of molecules (.csv, .csv.gz), a folder or zip in the TU format (NAME_A.txt, ...), a
    DGL file (.bin), or a GraphML file (.graphml) or list of edges (.edgelist, .txt), or a folder of these.
    Of RUN, config.yaml and seed-N/weights.safetensors are enough. Several runs count alike, each with the
    mean of its seeds.

    The CSV file has one row for each row of INPUT, or for each node of a node task. Exit status 3: it is
    written, but the rows that stderr names could not be read and are empty.

    Example: gradformer-dgl predict runs/mine new.csv -o predictions.csv

    Example: gradformer-dgl predict runs/NCI1 data/NCI109 -o - --seed 0

    Example: gradformer-dgl predict runs/NCI1 runs/NCI1-wl data/NCI109 -o both.csv
    """
    from gradformer_dgl.prediction.inputs import open_input
    from gradformer_dgl.prediction.predictor import Predictor
    from gradformer_dgl.prediction.table import STDOUT, check_out, predict_table
    from gradformer_dgl.support.progress import Progress
    from gradformer_dgl.training.threads import use_threads

    if as_json and out == STDOUT:
        raise click.UsageError("stdout can take the table or the line of --json: give --out a file")
    check_out(out, input, overwrite)
    use_threads(threads)
    predictor = Predictor.from_run(*runs, seed=seed, device=device, data_root=data_root, trust=trust)
    opened = open_input(input, predictor.fit, smiles_column)
    with Progress("predictions", shown=not obj["quiet"], keep="never") as progress:
        progress.plan(opened.total)
        empty = predict_table(predictor, opened, predictor.distances(cache), out, progress.advance)
    predicted, place = opened.total - empty, "stdout" if out == STDOUT else out
    logging.getLogger("gradformer_dgl").info("%s: predicted %d of %d", place, predicted, opened.total)
    result = {"file": str(out), "rows": opened.total, "predicted": predicted, "empty": empty}
    results.print_result(result, (), as_json)
    if empty:
        sys.exit(ROWS_LEFT_EMPTY)
