"""`gradformer-dgl evaluate`."""

from pathlib import Path

import click

from gradformer_dgl.cli import options, results
from gradformer_dgl.cli.help import GuessingChoice


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
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
def command(run: Path, data_root: Path | None, cache: Path | None, split: str, device: str) -> None:
    """Score the saved weights of the run folder RUN again.

    The result on stdout is one line of JSON.

    Example: gradformer-dgl evaluate runs/MUTAG --split val
    """
    from gradformer_dgl.training.runs import evaluate_run, open_run

    request = open_run(
        run,
        None if data_root is None else str(data_root),
        None if cache is None else str(cache),
        options.chosen_device(device),
    )
    result = evaluate_run(request, split)
    results.print_scores(result, results.score_text(result, split))
