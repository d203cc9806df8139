"""`gradformer-dgl evaluate`."""

from pathlib import Path

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import GuessingChoice


@click.command("evaluate")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--data-root", type=click.Path(path_type=Path), help="Raw data. [default: as in training]")
@click.option("--cache", type=click.Path(path_type=Path), help="Distances. [default: as in training]")
@click.option(
    "--split",
    type=GuessingChoice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Part to score.",
)
@options.device
@results.always_json
def command(
    runs: tuple[Path, ...], data_root: Path | None, cache: Path | None, split: str, device: str
) -> None:
    """Score the saved weights of the run folder RUN again, or the average of several runs.

    Several runs have the same data, task and splits: their outputs for the graphs of each seed are averaged,
    class probabilities in classification, values in regression. The result on stdout is one line of JSON;
    with several runs it also has the scores of each of them alone.

    Example: gradformer-dgl evaluate runs/MUTAG --split val

    Example: gradformer-dgl evaluate runs/NCI1 runs/NCI1-wl
    """
    from gradformer_dgl.training.evaluate import evaluate_runs
    from gradformer_dgl.training.trained_run import open_run

    root, file = (None if path is None else str(path) for path in (data_root, cache))
    chosen = options.chosen_device(device)
    result = evaluate_runs(*(open_run(run, root, file, chosen) for run in runs), part=split)
    results.print_scores(result, results.score_text(result, split))
