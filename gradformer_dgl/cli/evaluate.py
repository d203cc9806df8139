"""`gradformer-dgl evaluate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gradformer_dgl.cli import options, results


@click.command("evaluate")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.FILE)
@options.choice("--split", ["train", "val", "test"], "Part to score.", default="test")
@options.trained_run_options
@results.always_json
def command(runs: tuple[Path, ...], split: str, open_run: Callable[[Path], Any]) -> None:
    """Score the saved weights of the run folder RUN again, or the average of several runs.

    Several runs have the same data, task and splits: their outputs for the graphs of each seed are averaged,
    class probabilities in classification, values in regression. The result on stdout is one line of JSON;
    with several runs it also has the scores of each of them alone.

    Example: gradformer-dgl evaluate runs/MUTAG --split val

    Example: gradformer-dgl evaluate runs/NCI1 runs/NCI1-wl
    """
    from gradformer_dgl.training.evaluate import evaluate_runs

    result = evaluate_runs(*(open_run(run) for run in runs), part=split)
    results.print_scores(result, results.score_text(result, split))
